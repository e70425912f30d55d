import { Buffer } from 'node:buffer';

/** What the server refuses, in its words. */
export class Refusal extends Error {}

export type Reply = string | number | null | Refusal | readonly Reply[];

const CR = 13;
const MINUS = 45;
const ZERO = 48;
const PUSH = 62;
/** More of a frame has to come. */
const CUT = Symbol('cut');

/**
 * Reads what a server says, RESP2 or RESP3, frame by frame. It knows no commands: a map is a list of keys and values, and
 * what is no text stays the text it is on the wire. For connections on which every message counts: what a general client
 * makes of one costs more than the rest of its way.
 */
export class RespReader {
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  /** Bytes without which reading on is in vain. */
  private need = 1;

  /** `frame` hears everything that is complete, and whether the server said it unasked. @throws Error on what is no RESP */
  push(chunk: Buffer, frame: (reply: Reply, pushed: boolean) => void): void {
    this.pending.push(chunk);
    this.pendingBytes += chunk.length;
    if (this.bytes.length + this.pendingBytes < this.need) return;
    this.bytes = this.bytes.length === 0 && this.pending.length === 1 ? chunk : Buffer.concat([this.bytes, ...this.pending]);
    this.pending = [];
    this.pendingBytes = 0;
    this.at = 0;
    this.need = 1;
    for (;;) {
      const start = this.at;
      if (start === this.bytes.length) {
        this.bytes = EMPTY;
        return;
      }
      const pushed = this.bytes[start] === PUSH;
      const reply = this.value();
      if (reply === CUT) {
        this.need = Math.max(this.need, this.bytes.length + 1) - start;
        this.bytes = this.bytes.subarray(start);
        return;
      }
      frame(reply, pushed);
    }
  }

  private value(): Reply | typeof CUT {
    const { bytes } = this;
    if (this.at >= bytes.length) return CUT;
    const type = String.fromCharCode(bytes[this.at++]!);
    switch (type) {
      case '$':
      case '=':
      case '!':
        return this.text(type);
      case '*':
      case '>':
      case '~':
      case '%':
        return this.list(type);
      case ':':
        return this.number() ?? CUT;
      case '+':
      case '-':
      case '#':
      case ',':
      case '(':
      case '_':
        return this.line(type);
      default:
        throw new Error(`the server said something that is no RESP (byte ${bytes[this.at - 1]})`);
    }
  }

  private text(type: string): Reply | typeof CUT {
    const length = this.number();
    if (length === undefined) return CUT;
    if (length < 0) return null;
    const from = this.at;
    this.at = from + length + 2;
    if (this.at > this.bytes.length) {
      this.need = this.at;
      return CUT;
    }
    const text = this.bytes.toString('utf8', from, from + length);
    // A verbatim string begins with its format, "txt:".
    return type === '!' ? new Refusal(text) : type === '=' ? text.slice(4) : text;
  }

  private list(type: string): Reply | typeof CUT {
    const count = this.number();
    if (count === undefined) return CUT;
    if (count < 0) return null;
    const items: Reply[] = [];
    for (let left = type === '%' ? count * 2 : count; left > 0; left--) {
      const item = this.value();
      if (item === CUT) return CUT;
      items.push(item);
    }
    return items;
  }

  private line(type: string): Reply | typeof CUT {
    const end = this.bytes.indexOf('\r\n', this.at);
    if (end < 0) return CUT;
    const text = this.bytes.toString('utf8', this.at, end);
    this.at = end + 2;
    return type === '-' ? new Refusal(text) : type === '_' ? null : text;
  }

  /** Undefined: cut off. */
  private number(): number | undefined {
    const { bytes } = this;
    let { at } = this;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    for (let value = 0; at < bytes.length; at++) {
      const digit = bytes[at]!;
      if (digit === CR) {
        if (at + 1 >= bytes.length) return undefined;
        this.at = at + 2;
        return negative ? -value : value;
      }
      if (digit < ZERO || digit > ZERO + 9) throw new Error(`the server said something that is no RESP (byte ${digit} in a number)`);
      value = value * 10 + digit - ZERO;
    }
    return undefined;
  }
}

const EMPTY = Buffer.alloc(0);
