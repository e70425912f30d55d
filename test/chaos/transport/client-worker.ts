import { Sender } from '../queue/sender.js';
import { Caller } from './caller.js';
import { RedisStreamsClient } from './library.js';
import { type ClientConfig, EVENT } from './messages.js';
import { report, trouble, Worker } from './process.js';

/** A process that emits events and sends requests. */
const config = JSON.parse(process.argv[2] ?? '{}') as ClientConfig;
const worker = await Worker.start(config.ledgerPort);
const { connection, commandTimeoutMs, label, producer, seed, requestTimeoutMs, requestsPerSecond } = config;
const client = new RedisStreamsClient({
  connection, commandTimeoutMs, consumerName: label, transport: { requestTimeoutMs },
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});
await client.connect();
report({ type: 'ready' });
const sender = new Sender(config, { send: (task) => client.emitAsync(EVENT, task) }, worker.ledger, trouble);
const caller = new Caller(client, producer, seed + 1, worker.note);
void caller.steady(requestsPerSecond);

worker.onCommand(({ type }) => {
  if (type === 'hold') void Promise.all([sender.hold(), caller.hold(requestTimeoutMs + 5_000)]).then(() => report({ type: 'held' }));
  if (type === 'stop') void worker.stop(() => client.close());
});
