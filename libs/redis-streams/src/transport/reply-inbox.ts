import { AsyncResource } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { ClosedError, ConnectionError, RequestTimeoutError } from '../errors/index.js';
import { repliesKey } from '../keys/transport-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { patiently } from '../redis/patiently.js';
import type { ReadChannel } from '../redis/read-channel.js';
import { sleep } from '../redis/sleep.js';
import { cancelRequest } from './cancels.js';
import { HEADER } from './headers.js';
import { readReplies, REPLY, type Reply } from './wire.js';

/** The stream is gone so long after its client's last sign of life. */
const TTL_MS = 30_000;
const RENEW_MS = TTL_MS / 3;
const BLOCK_MS = 2_000;
const COUNT = 1_000;
const FEW = 4;
const RETRY_MS = 250;
/** Entries read before those read are deleted. */
const TRIM_EVERY = 64;

/** Replies belong to no caller: what comes by them must not find the AsyncLocalStorage of whoever happened to ask first. */
const NOBODY = new AsyncResource('RedisStreamsReplies');

/** What a request's sender is told. */
export interface Requester {
  readonly pattern: string;
  /** `codec`: how the value is written. */
  value(value: unknown, codec: string | undefined, isLast: boolean): void;
  ended(): void;
  failed(error: unknown, codec?: string): void;
}

interface Open {
  readonly requester: Requester;
  readonly timeoutMs: number;
  /** When it was asked, or last answered. */
  since: number;
  /** Sequence number of the next reply. A server that takes the request over says everything again. */
  next: number;
}

/** Replies to one client instance: a stream of its own, read on a connection of its own, that goes with it. */
export class ReplyInbox {
  readonly key: string;
  private readonly open = new Map<string, Open>();
  /** One timer for all: it looks when the first of them may be late. */
  private sweep: NodeJS.Timeout | undefined;
  private requests = 0;
  private last = '0-0';
  private untrimmed = 0;
  private trimming = false;
  private renewal: NodeJS.Timeout | undefined;
  private channel: ReadChannel | undefined;
  private starting: Promise<void> | undefined;
  private ready = false;
  /** Headers of a request, up to its id. */
  private readonly head: string;
  private reading: Promise<void> | undefined;
  private readonly closing = new AbortController();

  constructor(
    private readonly redis: RedisConnection,
    private readonly events: RedisStreamsEvents,
    private readonly namespace: string,
  ) {
    this.key = repliesKey(namespace, randomBytes(9).toString('base64url'));
    this.head = `{${JSON.stringify(HEADER.replies)}:${JSON.stringify(this.key)},"${HEADER.request}":"`;
  }

  /** Resolves when replies can come. Idempotent; after a failure it may be called again. @throws ConnectionError | ClosedError */
  start(): Promise<void> {
    if (this.isClosed) return Promise.reject(new ClosedError('the client'));
    this.starting ??= this.begin().catch((error: unknown) => {
      this.starting = undefined;
      throw error;
    });
    return this.starting;
  }

  /** Replies can come. */
  get isReady(): boolean {
    return this.ready;
  }

  /** Headers of a request that has none of its user's, as JSON. */
  headersOf(id: string, codec: string | undefined, ttlMs: number): string {
    return `${this.head}${id}"${codec === undefined ? '' : `,"${HEADER.codec}":"${codec}"`}${ttlMs > 0 ? `,"${HEADER.ttl}":"${Math.ceil(ttlMs)}"` : ''}}`;
  }

  /** @param timeoutMs until the first reply, and between two; 0: without end. @returns the id of the request */
  add(requester: Requester, timeoutMs: number): string {
    const id = (this.requests++).toString(36);
    this.open.set(id, { requester, timeoutMs, since: timeoutMs > 0 ? performance.now() : 0, next: 0 });
    if (timeoutMs > 0) this.sweep ??= setTimeout(() => this.look(), timeoutMs);
    return id;
  }

  /** Nobody waits for it any more: its server is told, if anybody did. */
  cancel(id: string): void {
    if (this.remove(id)) void cancelRequest(this.redis, this.namespace, this.key, id);
  }

  fail(id: string, error: unknown): void {
    const open = this.open.get(id);
    if (this.remove(id)) NOBODY.runInAsyncScope(() => open!.requester.failed(error));
  }

  /** Fails what is open, and deletes the stream. Bounded by the command timeout. */
  async close(): Promise<void> {
    if (this.isClosed) return this.reading;
    this.closing.abort();
    this.ready = false;
    clearInterval(this.renewal);
    this.channel?.close();
    this.failAll(new ClosedError('the client', 'this request was open; whether it was run is unknown'));
    if (!this.starting) return;
    await this.starting.catch(() => undefined);
    await this.reading;
    await this.redis.commands.call('DEL', [this.key]).catch(() => undefined); // it expires
  }

  /** @returns whether it was open */
  private remove(id: string): boolean {
    const removed = this.open.delete(id);
    // Nothing to look for, and nothing that keeps the process.
    if (removed && this.open.size === 0 && this.sweep) {
      clearTimeout(this.sweep);
      this.sweep = undefined;
    }
    return removed;
  }

  private look(): void {
    this.sweep = undefined;
    const now = performance.now();
    let next = Infinity;
    for (const [id, { requester, timeoutMs, since }] of this.open) {
      if (timeoutMs === 0) continue;
      if (since + timeoutMs > now) next = Math.min(next, since + timeoutMs);
      else {
        void cancelRequest(this.redis, this.namespace, this.key, id);
        this.fail(id, new RequestTimeoutError(requester.pattern, timeoutMs));
      }
    }
    // Who was told may have asked again, which has set the timer.
    if (next !== Infinity) this.sweep ??= setTimeout(() => this.look(), Math.max(1, Math.ceil(next - now)));
  }

  private get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private async begin(): Promise<void> {
    await patiently(() => this.renew(), this.closing.signal);
    if (this.isClosed) throw new ClosedError('the client');
    this.renewal = setInterval(() => void this.keep(), RENEW_MS).unref();
    this.reading = NOBODY.runInAsyncScope(() => this.run());
    this.ready = true;
  }

  /** @returns whether the stream was still there */
  private async renew(): Promise<boolean> {
    return (await this.redis.scripts.run('transport-open', [this.key], [TTL_MS])) === 1;
  }

  private async keep(): Promise<void> {
    // Those sent before the answer: their replies may have been lost.
    const open = [...this.open.keys()];
    const kept = await this.renew().catch(() => true); // again at the next time; when it lasts it expires
    if (kept || this.isClosed) return;
    this.last = '0-0'; // the new one may be on a server whose clock is behind
    this.events.emit('transport.repliesLost', { requests: open.length });
    for (const id of open) this.fail(id, new ConnectionError('the replies to this client were lost: it was not heard of for too long, or Redis was emptied; whether the request was run is unknown'));
  }

  private async run(): Promise<void> {
    for (let failures = 0; !this.isClosed; ) {
      try {
        this.channel ??= this.redis.readingFor(this.key);
        const reply = await this.channel.read(['XREAD', 'COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', this.key, this.last], BLOCK_MS);
        if (failures > 0) this.events.emit('reader.recovered', { service: 'replies', failures, downMs: failures * RETRY_MS });
        failures = 0;
        let replies = 0;
        for (const { id, data } of reply.get(this.key) ?? []) {
          this.last = id;
          this.untrimmed++;
          if (data === undefined) continue;
          for (const each of readReplies(data)) {
            replies++;
            this.received(each);
          }
        }
        // What few callers ask for next goes before the next read.
        if (replies > 0 && replies <= FEW) await new Promise((resolve) => setImmediate(resolve));
        if (this.untrimmed >= TRIM_EVERY) void this.trim();
      } catch (error) {
        if (this.isClosed) return;
        this.events.emit('reader.error', { service: 'replies', error: error as Error, retryInMs: RETRY_MS, failures: ++failures });
        await sleep(RETRY_MS, this.closing.signal);
        await this.redis.refreshTopology().catch(() => undefined);
      }
    }
  }

  private async trim(): Promise<void> {
    if (this.trimming) return;
    this.trimming = true;
    this.untrimmed = 0;
    await this.redis.commands.call('XTRIM', [this.key, 'MINID', this.last]).catch(() => undefined); // with the next
    this.trimming = false;
  }

  private received([id, sequence, kind, value, codec]: Reply): void {
    const open = this.open.get(id);
    if (!open) return; // it was cancelled, has ended, or is said again
    const { requester } = open;
    if (kind === REPLY.end || kind === REPLY.last || kind === REPLY.error) {
      this.remove(id);
      if (kind === REPLY.error) requester.failed(value, codec);
      else if (kind === REPLY.last && sequence >= open.next) requester.value(value, codec, true);
      else requester.ended();
      return;
    }
    if (sequence < open.next) return;
    open.next = sequence + 1;
    if (open.timeoutMs > 0) open.since = performance.now();
    requester.value(value, codec, false);
  }

  private failAll(error: Error): void {
    for (const id of [...this.open.keys()]) this.fail(id, error);
  }
}
