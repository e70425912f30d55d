import { tellWhatLingers } from '../../support/lingering.js';
import { serverClock } from '../clock.js';
import { RedisStreamsEngine } from '../library.js';
import { EffectWriter } from './effect-ledger.js';
import type { Command, PartitionWorkerConfig, Report } from './messages.js';
import { PartitionWork } from './work.js';

/** One member of a group. It does what messages and IPC commands say, and writes what it sees into the ledger. */
const config = JSON.parse(process.argv[2] ?? '{}') as PartitionWorkerConfig;
const report = (message: Report): void => void process.send?.(message, undefined, {}, () => undefined);
const trouble = (message: string): void => report({ type: 'trouble', message });

process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
process.on('disconnect', () => process.exit(2));

const now = await serverClock(config.clockPort);
let closing = false;
const ledger = await EffectWriter.connect(config.ledgerPort, config.label, now, (error) => closing || trouble(`the ledger: ${error.message}`));
const work = new PartitionWork(config.mode, ledger, trouble);

const engine = new RedisStreamsEngine({
  connection: config.connection,
  consumerName: config.name,
  session: { ttlMs: config.ttlMs },
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});
const { events } = engine;
let session = '';
events.on('session.joined', (joined) => {
  ({ session } = joined);
  report({ type: 'joined', session, at: now() });
});
events.on('session.left', () => report({ type: 'left', at: now() }));
events.on('partition.assigned', ({ partition, token, from }) => ledger.note({ kind: 'assigned', partition, token, detail: from }));
events.on('partition.revoked', ({ partition, token, reason, drainMs }) => {
  const at = now();
  ledger.note({ kind: 'draining', partition, token, at: at - drainMs, detail: reason });
  ledger.note({ kind: 'revoked', partition, token, at, detail: reason });
});
events.on('partition.lost', ({ partition, token, reason }) => ledger.note({ kind: 'lost', partition, token, detail: reason }));
events.on('partition.deadLettered', ({ partition, token, key, reason }) => ledger.note({ kind: 'parked', partition, token, key: key ?? '-', detail: reason }));
events.on('partition.terminated', ({ reason }) => report({ type: 'terminated', reason }));

engine.addPartitionConsumer({ stream: config.stream, group: config.group, ...config.tuning, ack: config.mode === 'manual' ? 'manual' : 'auto', ...(config.mode === 'batch' ? { batch: 8 } : {}) }, work.handlers());

let begin = (): void => undefined;
process.on('message', ({ type }: Command) => {
  if (type === 'start') begin();
  if (type !== 'stop') return;
  void engine.stop().then(
    () => report({ type: 'stopped' }),
    (error: unknown) => report({ type: 'stopped', error: String(error) }),
  ).then(() => ((closing = true), tellWhatLingers(3_000), ledger.close())).then(() => {
    // Nothing of ours is left but this channel: with it gone the process must end by itself.
    process.removeAllListeners('disconnect');
    process.disconnect?.();
  });
});

if (config.onCall === true) {
  const called = new Promise<void>((resolve) => (begin = resolve));
  report({ type: 'loaded' });
  await called;
}
await engine.start();
report({ type: 'ready', session, at: now() });
