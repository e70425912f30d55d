import { Buffer } from 'node:buffer';
import { SHORT, writeAscii } from '../kernel/characters.js';
import { wirePool, type WirePool } from './wire-pool.js';
import { WireRoom } from './wire-room.js';
import type { WireArguments } from './wire.js';

/** What each UTF-16 unit of a string needs at most. */
const MOST_BYTES = 3;
/** Of longer strings it is worth asking what they need. */
const LONG = 1_024;
/** `$`, the length, two line ends. */
const AROUND = 16;
const DOLLAR = '$'.charCodeAt(0);
const ZERO = '0'.charCodeAt(0);
const CR = 13;
const LF = 10;
const EMPTY = Buffer.from('$0\r\n\r\n');
const NONE = Buffer.alloc(0);

/**
 * Arguments that are written down as they come. So their texts die young: kept until a batch goes out, they would be copied
 * by one collection after the other, which costs a busy producer more than anything else it does.
 */
export class WireWriter implements WireArguments {
  count = 0;
  private buffer: Buffer;
  /** Where these begin: what is in front of it is kept for the head. */
  private readonly start: number;
  private end: number;
  /** How often it was asked for, to be sent. */
  private copies = 0;
  /** What it stood behind last. */
  private head = '';
  private sentAgain = false;

  constructor(
    private readonly room = new WireRoom(),
    private readonly pool: WirePool = wirePool,
  ) {
    this.start = this.end = room.head;
    this.buffer = pool.take(room.head + room.bytes);
  }

  /** In bytes. */
  get length(): number {
    return this.end - this.start;
  }

  get bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  add(text: string): void {
    const { length } = text;
    if (length < SHORT && this.addAscii(text)) return;
    this.reserve((length > LONG ? Buffer.byteLength(text) : length * MOST_BYTES) + AROUND);
    const { buffer, end } = this;
    // Nearly always as many bytes as characters, so that nothing is counted twice.
    const assumed = digitsOf(length);
    const from = end + 1 + assumed + 2;
    const bytes = buffer.write(text, from);
    const digits = bytes === length ? assumed : digitsOf(bytes);
    if (digits !== assumed) buffer.copyWithin(from + digits - assumed, end + 1 + assumed + 2, end + 1 + assumed + 2 + bytes);
    this.frame(bytes, digits);
  }

  /** Answers false when it is none. */
  private addAscii(text: string): boolean {
    const { length } = text;
    this.reserve(length + AROUND);
    const { buffer } = this;
    const digits = length < 10 ? 1 : 2;
    if (!writeAscii(text, buffer, this.end + 1 + digits + 2)) return false;
    this.frame(length, digits);
    return true;
  }

  /** Puts empty arguments around every group of `width` that is there. */
  widen(width: number, before: number, after: number): void {
    const { buffer: old, start, end: oldEnd, count } = this;
    this.buffer = this.pool.take(oldEnd + (count / width) * (before + after) * EMPTY.length);
    this.end = start;
    this.count = count + (count / width) * (before + after);
    for (let from = start; from < oldEnd; ) {
      let to = from;
      for (let i = 0; i < width; i++) to = argumentEnd(old, to);
      this.empties(before);
      this.end += old.copy(this.buffer, this.end, from, to);
      this.empties(after);
      from = to;
    }
    this.pool.give(old);
  }

  /** The client sent one call more than once, as it does with what was not answered when a connection broke, and where it is sent elsewhere: what became of the first may not be known. */
  get resent(): boolean {
    return this.sentAgain;
  }

  /** The first time the head goes into the room kept for it. Later the first may still be on its way out: it is left alone. */
  behind(head: string): Buffer {
    const { room, start, buffer } = this;
    const length = Buffer.byteLength(head);
    room.took(length, this.end - start);
    if (head === this.head) this.sentAgain = true;
    else this.head = head;
    if (this.copies++ > 0 || length > start) return Buffer.concat([Buffer.from(head), this.bytes]);
    buffer.write(head, start - length);
    return buffer.subarray(start - length, this.end);
  }

  /**
   * It was sent and answered, and is not to be sent again. Its memory is another batch's from now on, unless it was sent more than
   * once: of a copy whose answer is not known, a connection that breaks may hold the rest for a while.
   */
  release(): void {
    if (this.copies !== 1) return;
    this.pool.give(this.buffer);
    this.buffer = NONE;
    this.end = this.start;
  }

  /** Length and line ends around the `bytes` that stand there. */
  private frame(bytes: number, digits: number): void {
    const { buffer, end } = this;
    const from = end + 1 + digits + 2;
    buffer[end] = DOLLAR;
    for (let at = end + digits, rest = bytes; at > end; at--, rest = Math.trunc(rest / 10)) buffer[at] = ZERO + (rest % 10);
    buffer[from - 2] = CR;
    buffer[from - 1] = LF;
    buffer[from + bytes] = CR;
    buffer[from + bytes + 1] = LF;
    this.end = from + bytes + 2;
    this.count++;
  }

  private empties(count: number): void {
    for (let i = 0; i < count; i++) this.end += EMPTY.copy(this.buffer, this.end);
  }

  private reserve(bytes: number): void {
    const { buffer, end } = this;
    if (end + bytes <= buffer.length) return;
    this.buffer = this.pool.take(Math.max(buffer.length * 2, end + bytes));
    buffer.copy(this.buffer, this.start, this.start, end);
    this.pool.give(buffer);
  }
}

function digitsOf(n: number): number {
  let digits = 1;
  for (let rest = n; rest > 9; rest = Math.trunc(rest / 10)) digits++;
  return digits;
}

/** Where the argument that begins at `start` ends. */
function argumentEnd(buffer: Buffer, start: number): number {
  let at = start + 1;
  let bytes = 0;
  for (; buffer[at] !== CR; at++) bytes = bytes * 10 + buffer[at]! - ZERO;
  return at + 2 + bytes + 2;
}
