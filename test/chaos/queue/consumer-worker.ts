import { setTimeout as sleep } from 'node:timers/promises';
import { tellWhatLingers } from '../../support/lingering.js';
import { LedgerWriter } from './ledger.js';
import { RedisStreamsEngine } from './library.js';
import type { Command, ConsumerConfig, Report, Task } from './messages.js';

/** A process that consumes a queue. Its handler is stubborn: it looks at no signal, and has its effect whoever the owner is by now. */
const config = JSON.parse(process.argv[2] ?? '{}') as ConsumerConfig;
const report = (message: Report): void => void process.send?.(message, undefined, {}, () => undefined);
const trouble = (message: string): void => report({ type: 'trouble', message });

process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
process.on('disconnect', () => process.exit(2));

let closing = false;
const ledger = await LedgerWriter.connect(config.ledgerPort, (error) => closing || trouble(`the ledger: ${error.message}`));
const note = (...line: Array<string | number>): void => void ledger.note(...line).catch(() => undefined); // told above
const engine = new RedisStreamsEngine({
  connection: config.connection,
  consumerName: config.name,
  commandTimeoutMs: config.commandTimeoutMs,
  session: { ttlMs: config.ttlMs },
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});
const { events } = engine;
/** By shard. */
const sessions = new Map<number, string>();
events.on('session.joined', ({ scope, session }) => {
  sessions.set(Number(/\/(\d+)#/.exec(scope)?.[1]), session);
  note('J', session, config.label);
  report({ type: 'joined', session });
});
events.on('session.lost', ({ session }) => {
  note('X', session, config.label);
  report({ type: 'lost', session });
});
events.on('session.left', ({ session }) => note('L', session, config.label));
events.on('queue.terminated', ({ reason }) => report({ type: 'terminated', reason }));

const consumer = engine.addQueueConsumer({ queue: config.queue, group: config.group, ...config.tuning }, {
  message: async (data, context) => {
    const { p, n, workMs } = data as Task;
    const session = sessions.get(context.shard) ?? '-';
    note('R', config.label, session, Date.now(), p, n, context.id);
    if (workMs > 0) await sleep(workMs);
    await ledger.note('E', p, n);
    if (config.tuning.ack !== 'manual') return;
    // Refused when the session is over: then it is another's to acknowledge.
    await context.ack().then(() => note('A', session, p, n), () => undefined);
  },
});

async function stop(): Promise<void> {
  const error = await engine.stop().then(() => undefined, String);
  report({ type: 'stopped', error });
  closing = true;
  tellWhatLingers(3_000);
  await ledger.close();
  // Nothing of ours is left but this channel: with it gone the process must end by itself.
  process.removeAllListeners('disconnect');
  process.disconnect?.();
}

process.on('message', ({ type }: Command) => {
  if (type === 'stop') void stop();
  if (type === 'hands') report({ type: 'hands', ...consumer.load(), sessions: consumer.sessions().map(String) });
});

await engine.start();
report({ type: 'ready' });
