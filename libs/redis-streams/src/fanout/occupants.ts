import type { Subscriber } from './subscriber.js';

/** How a process is in a room, as the server sees it. */
export type SeatMode = 'out' | 'async' | 'sync';

/** The local subscribers of a room, and what they need the process to be in it. */
export class Occupants extends Set<Subscriber> {
  activeSync(): boolean {
    for (const { state, sync } of this) if (sync && state === 'active') return true;
    return false;
  }

  wanted(): SeatMode {
    let mode: SeatMode = 'out';
    for (const { state, sync } of this) {
      if (state !== 'pending' && state !== 'active') continue;
      if (sync) return 'sync';
      mode = 'async';
    }
    return mode;
  }
}
