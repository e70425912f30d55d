import { isTransient } from '../kernel/server-errors.js';
import type { BlockingChannel } from '../redis/blocking-channel.js';
import { streamsOf } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';
import type { StreamEntry } from './types.js';

/** Streams in one blocking read: more make each wake-up dear for the server. */
const BLOCK_STREAMS = 64;
const BLOCK_MS = 500;
/** Polling intervals: a stream idle for t is looked at every t/8, within these bounds. */
const POLL_MIN_MS = 5;
const POLL_MAX_MS = 250;

interface Reader {
  readonly stream: string;
  readonly count: number;
  after: string;
  since: number;
  nextAt: number;
  blocked: boolean;
  settle(entries: StreamEntry[]): void;
  fail(error: unknown): void;
}

/**
 * Reads any number of data streams for their owners with a bounded number of connections: the first 64 that
 * wait share one blocking XREAD (on a standalone server; data streams of a cluster live in different slots),
 * all others are polled, many to a command, the less often the longer they have been idle. Plain XREAD: what a
 * reader sees changes nothing, so a stale owner reading on harms nobody.
 */
export class StreamTailer {
  private readonly readers = new Set<Reader>();
  private channel: BlockingChannel | undefined;
  private blocking = false;
  private polling: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly redis: RedisConnection) {}

  /** Resolves with entries after `after`; with none when `idleMs` passed, `cancel` was called or the tailer closed. */
  read(stream: string, after: string, count: number, idleMs: number | undefined): { entries: Promise<StreamEntry[]>; cancel: () => void } {
    const idle = idleMs === undefined ? undefined : new AbortController();
    let reader!: Reader;
    const entries = new Promise<StreamEntry[]>((resolve, reject) => {
      const leave = (): void => {
        this.readers.delete(reader);
        idle?.abort();
      };
      reader = {
        stream, count, after, since: performance.now(), nextAt: 0, blocked: false,
        settle: (found) => (leave(), resolve(found)),
        fail: (error) => (leave(), reject(error instanceof Error ? error : new Error(String(error)))),
      };
    });
    if (this.closed) reader.settle([]);
    else {
      this.readers.add(reader);
      if (idle && idleMs !== undefined) void this.endWhenIdle(reader, idleMs, idle.signal);
      this.wake();
    }
    return { entries, cancel: () => reader.settle([]) };
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.channel?.close();
    for (const reader of [...this.readers]) reader.settle([]);
  }

  /**
   * Only an empty answer says that a stream is empty: one to begin with, and one more when `idleMs` have passed
   * since. Without them an outage would pass for the end of the stream, and unread data for done.
   */
  private async endWhenIdle(reader: Reader, idleMs: number, left: AbortSignal): Promise<void> {
    reader.nextAt = Infinity;
    await this.answered(reader, left);
    if (idleMs > 0) {
      this.schedule();
      await sleep(idleMs, left);
      await this.answered(reader, left);
    }
    reader.settle([]);
  }

  private async answered(reader: Reader, left: AbortSignal): Promise<void> {
    while (!left.aborted && !(await this.look([reader]))) await sleep(POLL_MAX_MS, left);
  }

  private wake(): void {
    if (this.closed || this.readers.size === 0) return;
    if (!this.polling) this.polling = this.poll().finally(() => ((this.polling = undefined), this.schedule()));
    if (!this.blocking && !this.redis.isCluster) void this.block();
  }

  private schedule(): void {
    clearTimeout(this.timer);
    let earliest = Infinity;
    for (const reader of this.readers) if (!reader.blocked) earliest = Math.min(earliest, reader.nextAt);
    if (earliest !== Infinity && !this.closed) this.timer = setTimeout(() => this.wake(), Math.max(1, earliest - performance.now()));
  }

  private async poll(): Promise<void> {
    const now = performance.now();
    const due = new Set([...this.readers].filter((reader) => !reader.blocked && reader.nextAt <= now));
    const looks: Array<Promise<boolean>> = [];
    while (due.size > 0) {
      const chunk = this.redis.isCluster ? [due.values().next().value!] : forOneRead(due);
      for (const reader of chunk) due.delete(reader);
      looks.push(this.look(chunk));
    }
    await Promise.all(looks);
  }

  /** One non-blocking read of some streams. @returns whether the server answered it */
  private async look(readers: readonly Reader[]): Promise<boolean> {
    let answered = false;
    try {
      const count = Math.min(...readers.map((reader) => reader.count));
      const args = ['COUNT', count, 'STREAMS', ...readers.map((r) => r.stream), ...readers.map((r) => r.after)];
      this.deliver(readers, await this.redis.commands.call('XREAD', args, { buffers: true }));
      answered = true;
    } catch (error) {
      this.refuse(readers, error);
    }
    const now = performance.now();
    for (const reader of readers) reader.nextAt = now + Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, (now - reader.since) / 8));
    return answered;
  }

  private async block(): Promise<void> {
    this.blocking = true;
    try {
      while (!this.closed && this.readers.size > 0) {
        const chosen = forOneRead(this.readers);
        for (const reader of chosen) reader.blocked = true;
        this.channel ??= this.redis.blockingFor(chosen[0]!.stream);
        const count = Math.min(...chosen.map((reader) => reader.count));
        const args = ['COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', ...chosen.map((r) => r.stream), ...chosen.map((r) => r.after)];
        try {
          this.deliver(chosen, await this.channel.call('XREAD', args, BLOCK_MS));
        } catch (error) {
          if (this.closed) return;
          this.refuse(chosen, error);
          await sleep(200);
        } finally {
          for (const reader of chosen) reader.blocked = false;
        }
      }
    } finally {
      this.blocking = false;
    }
  }

  private deliver(readers: readonly Reader[], reply: unknown): void {
    const found = new Map<string, StreamEntry[]>();
    for (const [stream, entries] of streamsOf(reply)) found.set(String(stream), entries.map(readEntry));
    for (const reader of readers) {
      const entries = found.get(reader.stream);
      if (entries && entries.length > 0) reader.settle(entries);
    }
  }

  /** A passing fault is waited out; a wrong type, say, is told to the readers - to each its own. */
  private refuse(readers: readonly Reader[], error: unknown): void {
    if (this.closed || isTransient(error)) return;
    if (readers.length === 1) readers[0]!.fail(error);
    else for (const reader of readers) void this.look([reader]);
  }
}

/**
 * As many as fit into one command, in order. A stream comes at most once in it: the reply tells streams apart by name
 * only, so of two readers at different places in one stream, one would be served what the other asked for.
 */
function forOneRead(readers: Iterable<Reader>): Reader[] {
  const chosen = new Map<string, Reader>();
  for (const reader of readers) {
    if (!chosen.has(reader.stream)) chosen.set(reader.stream, reader);
    if (chosen.size === BLOCK_STREAMS) break;
  }
  return [...chosen.values()];
}

function readEntry(raw: unknown): StreamEntry {
  const [id, list] = raw as [unknown, unknown[] | null];
  const fields = Object.create(null) as Record<string, string>;
  const flat = list ?? [];
  for (let i = 0; i + 1 < flat.length; i += 2) fields[String(flat[i])] = String(flat[i + 1]);
  return { id: String(id), fields };
}
