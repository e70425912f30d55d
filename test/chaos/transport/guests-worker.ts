import { setTimeout as sleep } from 'node:timers/promises';
import { Caller } from './caller.js';
import { RedisStreamsClient } from './library.js';
import { type GuestsConfig, MANY, ONE } from './messages.js';
import { report, trouble, Worker } from './process.js';

/** A process that makes one short-lived client after another. */
const config = JSON.parse(process.argv[2] ?? '{}') as GuestsConfig;
const worker = await Worker.start(config.ledgerPort);
const { connection, requestTimeoutMs, seed, first, count, lanes, overMs } = config;
const startedAt = performance.now();
let made = 0;

async function guest(): Promise<void> {
  while (made < count) {
    const i = made++;
    await sleep(Math.max(0, startedAt + (overMs * i) / count - performance.now()));
    const client = new RedisStreamsClient({ connection, transport: { requestTimeoutMs }, onError: (error, { during }) => trouble(`guest ${i}, ${during}: ${error.message}`) });
    const caller = new Caller(client, first + i, seed + i, worker.note);
    await Promise.all([caller.ask(ONE), caller.ask(MANY)]);
    await client.close();
  }
}

worker.onCommand(({ type }) => {
  if (type === 'stop') void worker.stop(() => Promise.resolve());
});
report({ type: 'ready' });
await Promise.all(Array.from({ length: lanes }, guest));
report({ type: 'gone', count: made });
