import { tellWhatLingers } from '../../support/lingering.js';
import { LedgerWriter } from './ledger.js';
import { RedisStreamsEngine } from './library.js';
import type { Command, ProducerConfig, Report } from './messages.js';
import { Sender } from './sender.js';

/** A process that sends to a queue. */
const config = JSON.parse(process.argv[2] ?? '{}') as ProducerConfig;
const report = (message: Report): void => void process.send?.(message, undefined, {}, () => undefined);
const trouble = (message: string): void => report({ type: 'trouble', message });

process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
process.on('disconnect', () => process.exit(2));

let closing = false;
const ledger = await LedgerWriter.connect(config.ledgerPort, (error) => closing || trouble(`the ledger: ${error.message}`));
const engine = new RedisStreamsEngine({
  connection: config.connection,
  consumerName: config.label,
  commandTimeoutMs: config.commandTimeoutMs,
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});
await engine.start();
report({ type: 'ready' });
const producer = engine.queues().queue(config.queue, config.options);
const sender = new Sender(config, producer, ledger, trouble);

async function close(timeoutMs: number): Promise<void> {
  sender.end();
  const { open } = sender;
  const startedAt = performance.now();
  const { unsent } = await producer.close({ timeoutMs });
  const ms = performance.now() - startedAt;
  const again = await producer.close({ timeoutMs: 60_000 });
  const againMs = performance.now() - startedAt - ms;
  const afterwards = await producer.send({}).then(() => 'resolved', (error: { code?: string }) => error.code ?? 'no code');
  await sender.hold(5_000); // all should be settled by now
  report({ type: 'closed', open, ms, againMs, unsent, againUnsent: again.unsent, afterwards, ...sender.counts });
}

async function stop(): Promise<void> {
  await sender.hold(5_000);
  const error = await engine.stop().then(() => undefined, String);
  report({ type: 'stopped', error });
  closing = true;
  tellWhatLingers(3_000);
  await ledger.close();
  // Nothing of ours is left but this channel: with it gone the process must end by itself.
  process.removeAllListeners('disconnect');
  process.disconnect?.();
}

process.on('message', (command: Command) => {
  switch (command.type) {
    case 'hold': return void sender.hold().then(() => report({ type: 'held' }));
    case 'close': return void close(command.timeoutMs);
    case 'status': return report({ type: 'status', ...sender.status() });
    case 'stop': return void stop();
  }
});

await sender.done();
if (config.closeMs !== undefined) await close(config.closeMs);
