import { Buffer, isAscii } from 'node:buffer';

/** A stream entry whose fields are ours; what else it carries stands in `other`. */
export interface StreamMessage {
  readonly id: string;
  readonly key: string | undefined;
  readonly data: string | undefined;
  /** JSON. */
  readonly headers: string | undefined;
  /** Fields that are not ours: name, value, name, value. */
  readonly other: readonly string[] | undefined;
}

export interface XreadReply {
  /** Stream -> its entries. Empty: nothing came in time. */
  readonly streams: ReadonlyMap<string, StreamMessage[]>;
  /** The server's error instead. */
  readonly error?: string;
}

const STAR = 42;
const DOLLAR = 36;
const MINUS = 45;
const CR = 13;
const ZERO = 48;
const KEY = Buffer.from('key');
const DATA = Buffer.from('data');
const HEADERS = Buffer.from('headers');

/**
 * Reads replies of XREAD under RESP2, and nothing else, straight into messages. A general decoder makes seven objects
 * of an entry, and in a consumer that costs more than all else together; here it is one.
 *
 * Feed it what the socket gives: it keeps its place between entries and reads an entry again from its beginning when that
 * was cut in two.
 */
export class XreadParser {
  private bytes: Buffer = Buffer.alloc(0);
  /** Of texts in `bytes`. Where all is ASCII, as it mostly is, the sooner read one of two that say the same. */
  private encoding: 'utf8' | 'latin1' = 'utf8';
  private at = 0;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  /** Bytes beyond `at` without which reading on is in vain. */
  private need = 1;
  /** Streams of this reply still to come; -1: between replies. */
  private streamsLeft = -1;
  private entriesLeft = 0;
  private streams = new Map<string, StreamMessage[]>();
  private current: StreamMessage[] = [];
  private from = 0;
  private to = 0;

  /** @returns the reply once it is complete. @throws Error on anything that is no reply to XREAD */
  push(chunk: Buffer): XreadReply | undefined {
    this.pending.push(chunk);
    this.pendingBytes += chunk.length;
    if (this.bytes.length - this.at + this.pendingBytes < this.need) return undefined;
    const rest = this.bytes.subarray(this.at);
    this.bytes = rest.length === 0 && this.pending.length === 1 ? chunk : Buffer.concat([rest, ...this.pending]);
    this.encoding = isAscii(this.bytes) ? 'latin1' : 'utf8';
    this.pending = [];
    this.pendingBytes = 0;
    this.at = 0;
    this.need = 1;
    return this.advance();
  }

  private advance(): XreadReply | undefined {
    if (this.streamsLeft < 0) {
      const start = this.at;
      if (this.bytes[start] === MINUS) return this.errorReply();
      // Nothing came: a null array, or a null string as some proxies and embedded servers say it.
      const count = this.size(this.bytes[start] === DOLLAR ? DOLLAR : STAR);
      if (count === undefined) return this.back(start);
      if (count < 0) return { streams: new Map() };
      this.streamsLeft = count;
      this.streams = new Map();
    }
    for (;;) {
      while (this.entriesLeft > 0) {
        const start = this.at;
        const message = this.message();
        if (!message) return this.back(start);
        this.current.push(message);
        this.entriesLeft--;
      }
      if (this.streamsLeft === 0) {
        this.streamsLeft = -1;
        return { streams: this.streams };
      }
      const start = this.at;
      if (this.size(STAR) === undefined || !this.bulk()) return this.back(start);
      const name = this.text();
      const entries = this.size(STAR);
      if (entries === undefined) return this.back(start);
      this.current = [];
      this.streams.set(name, this.current);
      this.entriesLeft = entries;
      this.streamsLeft--;
    }
  }

  private message(): StreamMessage | undefined {
    if (this.size(STAR) === undefined || !this.bulk()) return undefined;
    const id = this.bytes.toString('latin1', this.from, this.to);
    const count = this.size(STAR);
    if (count === undefined) return undefined;
    let key: string | undefined;
    let data: string | undefined;
    let headers: string | undefined;
    let other: string[] | undefined;
    for (let i = 0; i < count; i += 2) {
      if (!this.bulk()) return undefined;
      const { from, to } = this;
      if (!this.bulk()) return undefined;
      if (this.is(KEY, from, to)) key = this.text();
      else if (this.is(DATA, from, to)) data = this.text();
      else if (this.is(HEADERS, from, to)) headers = this.text();
      else (other ??= []).push(this.bytes.toString(this.encoding, from, to), this.text());
    }
    return { id, key, data, headers, other };
  }

  /** A line `<type><number>CRLF`. @returns undefined when it is cut off */
  private size(type: number): number | undefined {
    const { bytes } = this;
    let { at } = this;
    if (at >= bytes.length) return undefined;
    if (bytes[at] !== type) throw new Error(`the server answered XREAD with something else (byte ${bytes[at]} where ${type} belongs)`);
    at++;
    let sign = 1;
    let value = 0;
    if (bytes[at] === MINUS) {
      sign = -1;
      at++;
    }
    for (; at < bytes.length; at++) {
      const digit = bytes[at]!;
      if (digit === CR) {
        if (at + 1 >= bytes.length) return undefined;
        this.at = at + 2;
        return sign * value;
      }
      if (digit < ZERO || digit > ZERO + 9) throw new Error(`the server answered XREAD with something else (byte ${digit} in a number)`);
      value = value * 10 + digit - ZERO;
    }
    return undefined;
  }

  /** A bulk string; `from` and `to` say where. @returns false when it is cut off */
  private bulk(): boolean {
    const length = this.size(DOLLAR);
    if (length === undefined) return false;
    this.from = this.at;
    this.to = this.at + length;
    this.at = this.to + 2;
    if (this.at <= this.bytes.length) return true;
    this.need = this.at;
    return false;
  }

  private is(name: Buffer, from: number, to: number): boolean {
    if (to - from !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.bytes[from + i] !== name[i]) return false;
    return true;
  }

  private text(): string {
    return this.bytes.toString(this.encoding, this.from, this.to);
  }

  private errorReply(): XreadReply | undefined {
    const end = this.bytes.indexOf('\r\n', this.at);
    if (end < 0) return undefined;
    const error = this.bytes.toString('utf8', this.at + 1, end);
    this.at = end + 2;
    return { streams: new Map(), error };
  }

  /** Cut off: read again from there when more has come. */
  private back(start: number): undefined {
    this.need = Math.max(this.need - start, this.bytes.length - start + 1);
    this.at = start;
    return undefined;
  }
}
