import { createRng } from '../../support/seed.js';
import { tellWhatLingers } from '../../support/lingering.js';
import { serverClock } from '../clock.js';
import { RedisStreamsEngine } from '../library.js';
import { shardOfRoom } from './library.js';
import { noDeeds, type Command, type FanoutWorkerConfig, type Report } from './messages.js';
import { RawAcks } from './raw-acks.js';
import { RoomLedgerWriter } from './room-ledger.js';
import { Seats } from './seats.js';

/** A process with subscribers in many rooms. */
const report = (message: Report): void => void process.send?.(message, undefined, {}, () => undefined);
const trouble = (message: string): void => report({ type: 'trouble', message });

process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
process.on('disconnect', () => process.exit(2));

const config = await new Promise<FanoutWorkerConfig>((resolve) => process.once('message', (command: Command) => command.type === 'begin' && resolve(command.config)));
const now = await serverClock(config.clockPort);
let closing = false;
const ledger = await RoomLedgerWriter.connect(config.ledgerPort, (error) => closing || trouble(`the ledger: ${error.message}`));
const raw = new RawAcks(config.direct, config.shards, config.roomTimeoutMs);

const engine = new RedisStreamsEngine({
  connection: config.connection,
  consumerName: config.name,
  session: { ttlMs: config.ttlMs },
  commandTimeoutMs: config.commandTimeoutMs,
  fanout: { shards: config.shards, ackTimeoutMs: config.roomTimeoutMs, maxRedeliveries: 20 },
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});

const sessions = new Map<string, string>();
const about = { sub: `${config.label}/-`, room: '-', id: '-', redelivery: 0 };
engine.events.on('session.joined', ({ session, scope }) => {
  sessions.set(scope, session);
  void ledger.note({ kind: 'session', at: now(), ...about, detail: `${session} ${scope}` });
  report({ type: 'joined', session, scope });
});
engine.events.on('session.renewed', ({ session, roundTripMs }) => void ledger.note({ kind: 'renewed', at: now() - roundTripMs, ...about, detail: session }));
engine.events.on('session.lost', ({ session }) => void ledger.note({ kind: 'lost', at: now(), ...about, detail: session }));

const deeds = noDeeds();
const seats = new Seats(engine, {
  config, ledger, raw, deeds, now, rng: createRng(config.seed),
  session: (room) => sessions.get(`fanout ${shardOfRoom(room, config.shards)}`) ?? '-',
  taken: (what) => report({ type: 'taken', what }),
  failed: (what) => report({ type: 'failed', what }),
});

process.on('message', ({ type }: Command) => {
  if (type !== 'stop') return;
  void seats.end().then(() => engine.stop()).then(
    () => report({ type: 'stopped' }),
    (error: unknown) => report({ type: 'stopped', error: String(error) }),
  ).then(() => ((closing = true), raw.close(), tellWhatLingers(3_000), ledger.close())).then(() => {
    report({ type: 'deeds', deeds });
    // Nothing of ours is left but this channel: with it gone the process must end by itself.
    process.removeAllListeners('disconnect');
    process.disconnect?.();
  });
});

await engine.start();
await seats.fill();
report({ type: 'ready' });
// What it has done so far counts also when it is killed.
setInterval(() => report({ type: 'deeds', deeds }), 250).unref();
if (config.mischief.churn) seats.churn().catch((error: Error) => closing || trouble(`coming and going: ${error.message}`));
