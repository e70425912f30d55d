import type { WireRoom } from '../redis/wire-room.js';
import { WireWriter } from '../redis/wire-writer.js';
import type { Outgoing } from './encode.js';

const PLAIN = 1;
const FULL = 5;

/** Messages as queue-produce wants them: one argument a message while data is all there is to all of them. */
export class OutgoingBatch {
  /** Arguments of a message. */
  width = PLAIN;
  readonly more: WireWriter;

  constructor(room: WireRoom) {
    this.more = new WireWriter(room);
  }

  /** @returns the bytes that this took */
  add(message: Outgoing): number {
    const { more } = this;
    const before = more.length;
    if (this.width === PLAIN) {
      if (message.plain) {
        more.add(message.data);
        return more.length - before;
      }
      this.width = FULL;
      more.widen(PLAIN, FULL - PLAIN, 0);
    }
    more.add(message.key);
    more.add(message.headers);
    more.add(message.id);
    more.add(message.delay);
    more.add(message.data);
    return more.length - before;
  }
}
