import { setTimeout as sleep } from 'node:timers/promises';
import type { RoomSubscription } from 'nestjs-redis-streams/fanout';
import type { RedisStreamsEngine } from '../library.js';
import type { Place } from './messages.js';
import { RoomWork, type Desk } from './work.js';

interface Occupied { readonly place: Place; readonly sync: boolean; readonly sub: string; readonly work: RoomWork; readonly subscription: RoomSubscription }

/** A worker's subscriptions, and their coming and going. */
export class Seats {
  private readonly occupied: Occupied[] = [];
  private count = 0;
  private ending = false;
  private joining: Promise<void> | undefined;

  constructor(private readonly engine: RedisStreamsEngine, private readonly desk: Desk) {}

  async fill(): Promise<void> {
    await Promise.all(this.desk.config.places.flatMap((place) => [
      ...Array.from({ length: place.sync }, () => this.join(place, true)),
      ...Array.from({ length: place.async }, () => this.join(place, false)),
    ]));
  }

  /** One at random leaves, and one joins in its place: after it or, as a web socket that reconnects, before it, while a message is handled. Until the end. */
  async churn(): Promise<void> {
    const { rng, deeds } = this.desk;
    for (;;) {
      await sleep(rng.int(300, 900));
      if (this.ending || this.occupied.length === 0) return;
      const seat = this.occupied[rng.int(0, this.occupied.length - 1)]!;
      if (rng.chance(0.5)) {
        await seat.work.during(async () => {
          await this.replace(seat);
          if (!this.ending) await this.leave(seat);
        });
        deeds.overlaps++;
      } else {
        await this.leave(seat);
        if (rng.chance(0.5)) await sleep(rng.int(1, 200));
        if (this.ending) return;
        await this.replace(seat);
      }
    }
  }

  /** Tells the ledger that all leave, the one that comes back just now too. */
  async end(): Promise<void> {
    this.ending = true;
    await this.joining?.catch(() => undefined);
    await Promise.all(this.occupied.map((seat) => this.say(seat, 'stop')));
  }

  private async leave(seat: Occupied): Promise<void> {
    this.occupied.splice(this.occupied.indexOf(seat), 1);
    await this.say(seat, 'leave');
    await seat.subscription.leave();
    this.desk.deeds.leaves++;
  }

  private async replace({ place, sync }: Occupied): Promise<void> {
    await (this.joining = this.join(place, sync));
    this.desk.deeds.joins++;
  }

  private say({ sub, place: { room } }: Occupied, how: 'leave' | 'stop'): Promise<void> {
    return this.desk.ledger.note({ kind: 'leaving', at: this.desk.now(), sub, room, id: '-', redelivery: 0, detail: how });
  }

  private async join(place: Place, sync: boolean): Promise<void> {
    const { desk } = this;
    const { room } = place;
    const sub = `${desk.config.label}/${++this.count}`;
    const work = new RoomWork(desk, sub, place, desk.rng.chance(0.5));
    const about = { sub, room, id: '-', redelivery: 0 };
    const subscription = await this.engine.fanout().join(room, (_data, context) => work.handle(context), {
      sync,
      ack: work.manual ? 'manual' : 'auto',
      ackTimeoutMs: desk.config.ackTimeoutMs,
      retry: { maxAttempts: 5, initialMs: 5 },
      joined: () => void desk.ledger.note({ kind: 'in', at: desk.now(), ...about, detail: `${sync ? 'sync' : 'async'} ${desk.session(room)}` }),
      ejected: ({ reason }) => void desk.ledger.note({ kind: 'out', at: desk.now(), ...about, detail: reason }),
    });
    this.occupied.push({ place, sync, sub, work, subscription });
  }
}
