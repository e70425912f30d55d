import type { ShardKeys } from '../keys/partition-keys.js';
import type { WireRoom } from '../redis/wire-room.js';
import { WireWriter } from '../redis/wire-writer.js';
import type { Outgoing } from './encode.js';

/** A message's stream as two characters of the printable 64 from here on. */
const FIRST_CHARACTER = 48;
const CHARACTERS = Array.from({ length: 64 }, (_, i) => String.fromCharCode(FIRST_CHARACTER + i));
const SHORT = 2;
const FULL = 3;

/** Messages as partition-produce wants them: two arguments a message while none has headers; which streams; each one's among these. */
export class OutgoingBatch {
  /** Arguments of a message. */
  width = SHORT;
  /** Of each message. */
  readonly partitions: number[] = [];
  readonly streams: string[] = [];
  readonly more: WireWriter;
  private readonly known = new Map<number, string>();

  constructor(
    private readonly keys: ShardKeys,
    room: WireRoom,
  ) {
    this.more = new WireWriter(room);
  }

  /** Two characters a message. */
  get places(): string {
    let places = '';
    for (const partition of this.partitions) places += this.known.get(partition)!;
    return places;
  }

  /** @returns the bytes that this took */
  add({ partition, key, data, headers }: Outgoing): number {
    const { more } = this;
    const before = more.length;
    if (this.width === SHORT && headers !== '') {
      this.width = FULL;
      more.widen(SHORT, 0, FULL - SHORT);
    }
    this.partitions.push(partition);
    if (!this.known.has(partition)) this.addStream(partition);
    more.add(key);
    more.add(data);
    if (this.width === FULL) more.add(headers);
    return more.length - before;
  }

  private addStream(partition: number): void {
    const place = this.streams.push(this.keys.partition(partition)) - 1;
    this.known.set(partition, CHARACTERS[place >> 6]! + CHARACTERS[place & 63]!);
  }
}
