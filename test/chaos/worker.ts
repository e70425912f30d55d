import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { StreamLease } from 'nestjs-redis-streams/lease';
import { connectLedger } from '../support/ledger.js';
import { tellWhatLingers } from '../support/lingering.js';
import { serverClock } from './clock.js';
import { LeaseWork } from './lease-work.js';
import { RedisStreamsEngine } from './library.js';
import type { Command, Report, WorkerConfig } from './messages.js';

/** One consumer process. It does what announcements and IPC commands say, and reports what it sees. */
const config = JSON.parse(process.argv[2] ?? '{}') as WorkerConfig;
const report = (message: Report): void => void process.send?.(message, undefined, {}, () => undefined);

process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
process.on('disconnect', () => process.exit(2));

const now = await serverClock(config.clockPort);
const ledger = config.ledgerPort === undefined ? undefined : await connectLedger(config.ledgerPort);
const work = new LeaseWork(config, ledger, now, report);

const engine = new RedisStreamsEngine({
  connection: config.connection,
  consumerName: config.name,
  session: { ttlMs: config.ttlMs },
});
engine.events.on('session.joined', ({ session }) => report({ type: 'joined', session, at: now() }));
engine.events.on('session.lost', ({ session, why }) => report({ type: 'lost', session, why, at: now() }));
engine.events.on('reader.error', ({ error }) => report({ type: 'trouble', message: error.message, at: now() }));
const consumer = engine.addLeaseConsumer(
  { service: config.service, ...config.lease },
  { assigned: (lease: StreamLease) => work.run(lease) },
);

const delay = monitorEventLoopDelay({ resolution: 5 });

process.on('message', (command: Command) => {
  switch (command.type) {
    case 'stop':
      void engine.stop().then(
        () => report({ type: 'stopped' }),
        (error: unknown) => report({ type: 'stopped', error: String(error) }),
      ).then(() => (tellWhatLingers(3_000), ledger?.close())).then(() => {
        // Nothing of ours is left but this channel: with it gone the process must end by itself.
        process.removeAllListeners('disconnect');
        process.disconnect?.();
      });
      break;
    case 'block': {
      const until = performance.now() + command.ms;
      while (performance.now() < until); // an event loop that is stuck, not a process that sleeps
      setImmediate(() => report({ type: 'unblocked' }));
      break;
    }
    case 'finish':
      work.finish();
      break;
    case 'tally':
      report({ type: 'tallied', ...work.tally(), owned: consumer.held().length });
      break;
    case 'stall':
      report({ type: 'stalled', maxMs: delay.max / 1e6 });
      break;
    case 'probe':
      void work.probe().then(({ tried, accepted }) => report({ type: 'probed', id: command.id, tried, accepted }));
      break;
    default:
      command satisfies never;
  }
});

await engine.start();
delay.enable();
report({ type: 'ready' });
