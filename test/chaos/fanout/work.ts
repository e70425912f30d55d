import { setTimeout as sleep } from 'node:timers/promises';
import type { RoomContext } from 'nestjs-redis-streams/fanout';
import type { Rng } from '../../support/seed.js';
import type { Deeds, FanoutWorkerConfig, Place } from './messages.js';
import { isOfConnection, type RawAcks } from './raw-acks.js';
import type { RoomLedgerWriter } from './room-ledger.js';

const REMEMBERED = 3;
/** So soon after its handler's the library's acknowledgement has arrived, unless another local subscriber holds it up. */
const TAKEN_MS = 100;
/** A message comes within that, in a room that goes on. */
const HELD_MS = 300;

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
  /** Mischief that did not come about, through no fault of a connection. */
  failed(what: string): void;
}

/**
 * One subscriber's handler: writes down that it was called, works, writes down that it acknowledges, and then does, by
 * return or by hand. It heeds no signal. One in ten times it acknowledges also what it should not.
 */
export class RoomWork {
  private readonly done: string[] = [];
  /** Of a message that is to be under way for a while. */
  private held: { begun(): void; readonly ended: Promise<void> } | undefined;

  constructor(
    private readonly desk: Desk,
    private readonly sub: string,
    private readonly place: Place,
    readonly manual: boolean,
  ) {}

  /** Holds the next message until `act` has ended; `act` is called when it is shown, or after a while when none is. */
  async during(act: () => Promise<void>): Promise<void> {
    let end!: () => void;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const begun = new Promise<void>((resolve) => (this.held = { begun: resolve, ended }));
    await Promise.race([begun, sleep(HELD_MS)]);
    try {
      await act();
    } finally {
      this.held = undefined;
      end();
    }
  }

  async handle(context: RoomContext): Promise<void> {
    const { desk, sub } = this;
    const { rng, deeds, config: { mischief, ackTimeoutMs } } = desk;
    const { room, id, redelivery, attempt } = context;
    const note = { sub, room, id, redelivery, detail: String(attempt) };
    void desk.ledger.note({ kind: 'shown', at: desk.now(), ...note });
    // While it is owed: later it is another's.
    const turn = this.place.plain ? await desk.raw.turn(room).catch((error: unknown) => this.fail('turn', error)) : undefined;
    if (attempt === 1 && rng.chance(mischief.throws / 1_000)) {
      deeds.throws++;
      throw new Error('a bad day');
    }
    if (rng.chance(mischief.stalls / 1_000)) {
      deeds.stalls++;
      await sleep(ackTimeoutMs + rng.int(50, 400));
    } else if (rng.chance(0.3)) await sleep(rng.int(1, 5));
    this.held?.begun();
    await this.held?.ended;
    await desk.ledger.note({ kind: 'acked', at: desk.now(), ...note });
    if (this.manual) context.ack();
    if (rng.chance(mischief.acks / 1_000)) this.misbehave(context, turn);
    if (turn === undefined) return;
    this.done.push(turn);
    if (this.done.length > REMEMBERED) this.done.shift();
  }

  private misbehave(context: RoomContext, turn: string | undefined): void {
    const { desk: { rng, config } } = this;
    const { room } = context;
    const session = this.desk.session(room);
    switch (rng.int(0, 3)) {
      case 0:
        // The client's own fences end these two; only what goes past it reaches the server.
        context.ack();
        return void (turn !== undefined && this.again('twice', session, room, turn, 0));
      case 1:
        return void (turn !== undefined && this.again('late', session, room, turn, rng.int(1, 400)));
      case 2:
        // Out of their order, long after their turn.
        for (const old of rng.shuffle(this.done)) if (old !== turn) this.send('old', session, room, old);
        return;
      case 3:
        this.send('foreign', session, room, rng.pick(['0', '1', `${turn}0`, '', '-1', `${turn} `]));
        return this.send('foreign', `${config.name}:nobody`, room, turn ?? '1');
    }
  }

  /** Once the server has the library's own acknowledgement: `twice` while the message is still the room's current one, `late` when that is over. */
  private async again(deed: 'twice' | 'late', session: string, room: string, turn: string, afterMs: number): Promise<void> {
    const { raw } = this.desk;
    const until = performance.now() + afterMs + TAKEN_MS;
    try {
      await sleep(afterMs, undefined, { ref: false });
      for (;;) {
        const standing = await raw.standing(session, room, turn);
        if (standing === (deed === 'twice' ? 'taken' : 'over')) return this.send(deed, session, room, turn);
        if (standing === 'over' || performance.now() > until) return; // too soon gone on, or held up
        await sleep(1, undefined, { ref: false });
      }
    } catch (error) {
      this.fail(deed, error);
    }
  }

  private send(deed: 'twice' | 'late' | 'old' | 'foreign', session: string, room: string, turn: string): void {
    this.desk.raw.acknowledge(session, room, turn).then(
      (reply) => {
        this.desk.deeds[deed]++;
        if (reply === 1) this.desk.taken(`${session} acknowledged "${turn}" of ${room} (${deed})`);
      },
      (error: unknown) => this.fail(deed, error),
    );
  }

  /** The server is away, or we are about to end: that is nobody's fault. */
  private fail(deed: string, error: unknown): undefined {
    if (!isOfConnection(error)) this.desk.failed(`${deed}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
