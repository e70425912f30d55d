import type { Rng } from '../../support/seed.js';
import type { Tick } from './messages.js';
import type { FanoutWorld } from './world.js';

/** So many messages wait in a room or are on their way: there is always a next one. */
const AHEAD = 20;

export interface LoadOptions {
  /** Into each room. */
  readonly perRoom: number;
  /** Or as many as there is time for. */
  readonly forMs: number;
  readonly rng: Rng;
  /** Rooms whose messages have priorities. */
  readonly mixed: ReadonlySet<string>;
}

/** Sends to all rooms, so that none runs dry, until it is done or stopped. */
export class RoomLoad {
  /** Ids of accepted messages, in the order of their sending. */
  readonly sent = new Map<string, string[]>();
  readonly failures: string[] = [];
  /** Sends that wait for all acknowledgements. */
  awaited = 0;
  private unanswered = 0;
  private readonly running: Promise<unknown>;

  constructor(private readonly world: FanoutWorld, private readonly options: LoadOptions) {
    const until = performance.now() + options.forMs;
    this.running = Promise.all(world.rooms.map((room) => this.fill(room, until)));
  }

  get count(): number {
    return [...this.sent.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Awaited sends that have not been answered yet. */
  get open(): number {
    return this.unanswered;
  }

  async done(): Promise<void> {
    await this.running;
  }

  private async fill(room: string, until: number): Promise<void> {
    const { world, options: { perRoom, rng, mixed } } = this;
    const ids: string[] = [];
    this.sent.set(room, ids);
    for (let n = 1; n <= perRoom && performance.now() < until; n++) {
      while (ids.length - world.witness.shown(room) >= AHEAD && performance.now() < until) await world.witness.next();
      const data: Tick = { n };
      const options = mixed.has(room) && rng.chance(0.2) ? { priority: rng.int(-2, 2) } : {};
      try {
        const client = world.engine.fanout();
        if (rng.chance(0.01)) this.wait(room, client.send(room, data, { ...options, await: 'acked' }), ids);
        else ids.push((await client.send(room, data, options)).id);
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  private wait(room: string, answer: Promise<{ readonly id: string }>, ids: string[]): void {
    this.awaited++;
    this.unanswered++;
    answer.then(
      ({ id }) => void ids.push(id),
      (error: unknown) => void this.failures.push(`${room}: ${String(error)}`),
    ).finally(() => this.unanswered--);
  }
}
