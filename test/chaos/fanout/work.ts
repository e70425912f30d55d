import { setTimeout as sleep } from 'node:timers/promises';
import type { RoomContext } from 'nestjs-redis-streams/fanout';
import type { Rng } from '../../support/seed.js';
import type { Deeds, FanoutWorkerConfig, Place } from './messages.js';
import type { RawAcks } from './raw-acks.js';
import type { RoomLedgerWriter } from './room-ledger.js';

const REMEMBERED = 3;

/** What all handlers of a worker share. */
export interface Desk {
  readonly config: FanoutWorkerConfig;
  readonly rng: Rng;
  readonly ledger: RoomLedgerWriter;
  readonly raw: RawAcks;
  readonly deeds: Deeds;
  now(): number;
  /** The worker's latest session in the room's shard. */
  session(room: string): string;
  taken(what: string): void;
}

/**
 * One subscriber's handler: writes down that it was called, works, writes down that it acknowledges, and then does, by
 * return or by hand. It heeds no signal. One in ten times it acknowledges also what it should not.
 */
export class RoomWork {
  private readonly done: string[] = [];

  constructor(
    private readonly desk: Desk,
    private readonly sub: string,
    private readonly place: Place,
    readonly manual: boolean,
  ) {}

  async handle(context: RoomContext): Promise<void> {
    const { desk, sub } = this;
    const { rng, deeds, config: { mischief, ackTimeoutMs } } = desk;
    const { room, id, redelivery, attempt } = context;
    const note = { sub, room, id, redelivery, detail: String(attempt) };
    void desk.ledger.note({ kind: 'shown', at: desk.now(), ...note });
    // While it is owed: later it is another's.
    const turn = this.place.plain ? await desk.raw.turn(room) : undefined;
    if (attempt === 1 && rng.chance(mischief.throws / 1_000)) {
      deeds.throws++;
      throw new Error('a bad day');
    }
    if (rng.chance(mischief.stalls / 1_000)) {
      deeds.stalls++;
      await sleep(ackTimeoutMs + rng.int(50, 400));
    } else if (rng.chance(0.3)) await sleep(rng.int(1, 5));
    await desk.ledger.note({ kind: 'acked', at: desk.now(), ...note });
    if (this.manual) context.ack();
    if (rng.chance(mischief.acks / 1_000)) this.misbehave(context, turn);
    if (turn === undefined) return;
    this.done.push(turn);
    if (this.done.length > REMEMBERED) this.done.shift();
  }

  private misbehave(context: RoomContext, turn: string | undefined): void {
    const { desk: { rng, deeds, config } } = this;
    const { room } = context;
    switch (rng.int(0, 3)) {
      case 0:
        deeds.twice++;
        return context.ack(), context.ack();
      case 1:
        deeds.late++;
        return void setTimeout(() => context.ack(), rng.int(1, 400)).unref();
      case 2:
        // Out of their order, long after their turn.
        for (const old of rng.shuffle(this.done)) if (old !== turn) this.send('old', this.desk.session(room), room, old);
        return;
      case 3:
        this.send('foreign', this.desk.session(room), room, rng.pick(['0', '1', `${turn}0`, '', '-1', `${turn} `]));
        return this.send('foreign', `${config.name}:nobody`, room, turn ?? '1');
    }
  }

  private send(deed: 'old' | 'foreign', session: string, room: string, turn: string): void {
    this.desk.deeds[deed]++;
    this.desk.raw.acknowledge(session, room, turn).then(
      (reply) => reply === 1 && this.desk.taken(`${session} acknowledged "${turn}" of ${room} (${deed})`),
      () => undefined, // the server is away, or we are about to end
    );
  }
}
