import { consumerOf } from '../ledger/marks.js';
import type { Watched } from '../supervisor/scene.js';
import type { Tick, Urgent } from './room.js';

/** A tick as one client saw it. `order` is the place in what all clients together saw and did: they live in one process. */
export interface Sight extends Tick {
  readonly id: string;
  readonly order: number;
  readonly seenAt: number;
}

/** `fault`: its instance was killed or frozen; `silent`: the client gave up an instance that answers nothing; `moved`: the client hung up. */
export type EndOfStay = 'ejected' | 'fault' | 'closed' | 'silent' | 'moved';

/** One client in its room, from the server's word that it is in to the end of its connection or its ejection. */
export interface Stay {
  readonly client: string;
  readonly room: string;
  readonly instance: string;
  readonly subscriber: string;
  /** The server's clock once it was in: a tick sent later must be shown. */
  readonly joinedAt: number;
  readonly seen: Sight[];
  /** Tick -> order of its acknowledgement. */
  readonly acked: Map<number, number>;
  over: { readonly why: EndOfStay; readonly order: number; readonly at: number } | undefined;
}

/** How far a room is, as far as anybody in it has seen. */
export interface Progress {
  readonly tick: number;
  readonly seenAt: number;
  /** Names of processes without which some tick was completed. */
  readonly without: ReadonlySet<string>;
}

/** What the clients saw and did. Written by them alone, besides the moments of faults. */
export class RoomJournal implements Watched {
  readonly stays: Stay[] = [];
  readonly urgent: Array<Urgent & { readonly client: string; readonly room: string; readonly seenAt: number }> = [];
  /** Instances that were killed or frozen. */
  readonly faults = new Set<string>();
  private readonly rooms = new Map<string, { tick: number; seenAt: number; readonly without: Set<string> }>();
  private order = 0;
  private readonly listeners = new Set<() => void>();

  onMarks(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  joined(stay: Omit<Stay, 'seen' | 'acked' | 'over'>): Stay {
    const entry: Stay = { ...stay, seen: [], acked: new Map(), over: undefined };
    this.stays.push(entry);
    this.tell();
    return entry;
  }

  seen(stay: Stay, tick: Tick & { readonly id: string }): void {
    const seenAt = Date.now();
    stay.seen.push({ ...tick, order: ++this.order, seenAt });
    const room = this.rooms.get(stay.room) ?? { tick: 0, seenAt: 0, without: new Set<string>() };
    this.rooms.set(stay.room, room);
    if (tick.tick > room.tick) Object.assign(room, { tick: tick.tick, seenAt });
    for (const name of tick.without) room.without.add(consumerOf(name));
    this.tell();
  }

  /** To be written before the acknowledgement is sent. */
  acked(stay: Stay, tick: number): void {
    stay.acked.set(tick, ++this.order);
    this.tell();
  }

  ended(stay: Stay, why: EndOfStay): void {
    stay.over ??= { why, order: ++this.order, at: Date.now() };
    this.tell();
  }

  /** To be written before the signal is sent: from now on nobody there is live. */
  fault(instance: string): void {
    this.faults.add(instance);
    for (const stay of this.stays) if (stay.instance === instance && !stay.over) this.ended(stay, 'fault');
  }

  shown(client: string, room: string, urgent: Urgent): void {
    this.urgent.push({ ...urgent, client, room, seenAt: Date.now() });
    this.tell();
  }

  progress(room: string): Progress {
    return this.rooms.get(room) ?? { tick: 0, seenAt: 0, without: new Set() };
  }

  /** Killed or frozen instances without which a tick of the room was completed, as the tick after it says. */
  wentOnWithout(room: string): string[] {
    const { without } = this.progress(room);
    return [...this.faults].filter((instance) => without.has(instance));
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
