import { isTransient } from '../kernel/server-errors.js';
import type { StreamMessage } from '../kernel/xread-parser.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ReadChannel } from '../redis/read-channel.js';
import { sleep } from '../redis/sleep.js';
import { Timers } from '../redis/timers.js';
import type { OwnedPartition } from './owned-partition.js';

/** More streams in one blocking read make each wake-up dear for the server. */
const MOST_STREAMS = 64;
const BLOCK_MS = 2_000;
/** While a partition is read by other means, or more may be added: how soon others may be waited for with it. */
const SHORT_BLOCK_MS = 10;
/** Partitions come in bunches, as their owners let go of them: for so long after one more are expected. */
const BUNCH_MS = 100;
/** A blocking read that leaves a new partition out may go on for so long. */
const SELF_END_MS = 4;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 1_000;
/** How long a partition that cannot be read is left out. */
const SICK_MS = 5_000;
/** A reply is to be about this large at most, and messages are this large until some were seen. */
const REPLY_BYTES = 16_777_216;
const GUESS_BYTES = 16_384;

export interface ReaderHost {
  trouble(error: Error, retryInMs: number, failures: number): void;
  recovered(failures: number, downMs: number): void;
}

interface Reading {
  readonly partition: OwnedPartition;
  /** Has, or may have, messages waiting: fetched without blocking as soon as there is room for a good part of a window. */
  behind: boolean;
  /** Cannot be read (its key holds no stream, say): looked at again after a while, so that the others go on. */
  sick?: boolean;
}

/**
 * Reads up to 64 partitions of one hash slot (any, on one server) with plain XREAD from each one's cursor: what a reader
 * sees changes nothing, so it may be repeated, or lost with its connection. Partitions that are read to the end wait in
 * one blocking call; those with a backlog are fetched past it, on a second connection, when their window has room.
 */
export class Lane {
  private readonly readings = new Map<OwnedPartition, Reading>();
  private fetchChannel: ReadChannel | undefined;
  private blockedFor = 0;
  private waitingFor = new Set<OwnedPartition>();
  private loop: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private fetching = false;
  private messageBytes = GUESS_BYTES;
  private interrupting = false;
  private addedAt = -Infinity;
  private stopped = false;
  private failures = 0;
  private failedAt = 0;
  private readonly timers = new Timers();
  private readonly stopping = new AbortController();

  constructor(
    private readonly redis: RedisConnection,
    readonly shard: number,
    private readonly host: ReaderHost,
    /** Opened already, if any was. */
    private channel?: ReadChannel,
  ) {}

  get hasRoom(): boolean {
    return this.readings.size < MOST_STREAMS;
  }

  get isEmpty(): boolean {
    return this.readings.size === 0;
  }

  add(partition: OwnedPartition): void {
    this.readings.set(partition, { partition, behind: false });
    this.addedAt = performance.now();
    this.wake?.();
    // Among traffic the read that blocks ends by itself, and its connection is not given up for this.
    if (this.blockedFor === BLOCK_MS) this.timers.in(SELF_END_MS, () => this.readings.has(partition) && !this.waitingFor.has(partition) && this.interrupt());
    this.loop ??= this.run();
  }

  remove(partition: OwnedPartition): void {
    this.readings.delete(partition);
  }

  /** A window has room again, or it may be read again. */
  roomMade(partition: OwnedPartition): void {
    const reading = this.readings.get(partition);
    if (!reading) return;
    if (reading.behind) void this.fetch();
    else if (this.wake) this.wake();
    // Not in the read that blocks now: it was full, or paused, when that began.
    else if (this.blockedFor === BLOCK_MS && !this.waitingFor.has(partition)) this.interrupt();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.stopping.abort();
    this.timers.clear();
    this.wake?.();
    this.channel?.close();
    this.fetchChannel?.close();
    await this.loop;
  }

  /** Breaks a long blocking read, once for all changes of this turn, so that the next one includes them. */
  private interrupt(): void {
    this.wake?.();
    if (this.interrupting) return;
    this.interrupting = true;
    setImmediate(() => {
      this.interrupting = false;
      if (this.blockedFor !== BLOCK_MS) return;
      this.channel?.close();
      this.channel = undefined;
    });
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const waiting = this.choose();
      if (waiting.length === 0) {
        await new Promise<void>((resolve) => (this.wake = resolve));
        this.wake = undefined;
        continue;
      }
      const more = performance.now() - this.addedAt < BUNCH_MS || [...this.readings.values()].some(({ behind, sick }) => behind && !sick);
      const block = more ? SHORT_BLOCK_MS : BLOCK_MS;
      let channel: ReadChannel | undefined;
      try {
        channel = this.channel ??= this.redis.readingFor(waiting[0]!.partition.key);
        this.blockedFor = block;
        this.waitingFor = new Set(waiting.map(({ partition }) => partition));
        const { count, args } = this.command(waiting, block);
        const reply = await channel.read(args, block);
        this.blockedFor = 0;
        this.deliver(waiting, count, reply);
        this.worked();
      } catch (error) {
        this.blockedFor = 0;
        if (this.stopped) return;
        if (this.channel !== channel) continue; // interrupted on purpose
        await this.failed(error as Error, waiting, channel);
      }
    }
  }

  /** Those to wait for. One whose window is full counts as behind: fetched when it has room. */
  private choose(): Reading[] {
    const waiting: Reading[] = [];
    for (const reading of this.readings.values()) {
      if (reading.sick) continue;
      if (reading.partition.isFull) reading.behind = true;
      else if (!reading.behind && reading.partition.wantsMore) waiting.push(reading);
    }
    return waiting;
  }

  /** One non-blocking read of all that are behind and have room, until none is. */
  private async fetch(): Promise<void> {
    if (this.fetching) return;
    this.fetching = true;
    let due: Reading[] = [];
    try {
      while (!this.stopped) {
        due = [...this.readings.values()].filter(({ behind, sick, partition }) => behind && !sick && partition.wantsMore);
        if (due.length === 0) break;
        const { count, args } = this.command(due, undefined);
        this.fetchChannel ??= this.redis.readingFor(due[0]!.partition.key);
        this.deliver(due, count, await this.fetchChannel.read(args, 0));
        this.worked();
        this.wake?.();
      }
    } catch (error) {
      // Until the trouble is dealt with, which reads over the same connection, there is no other fetch.
      if (!this.stopped) await this.failed(error as Error, due, this.fetchChannel);
      this.fetching = false;
      return this.stopped ? undefined : this.fetch();
    }
    this.fetching = false;
  }

  private deliver(readings: readonly Reading[], count: number, found: ReadonlyMap<string, StreamMessage[]>): void {
    let behind = false;
    for (const reading of readings) {
      const { partition } = reading;
      if (this.readings.get(partition) !== reading) continue; // revoked meanwhile
      const entries = found.get(partition.key);
      const { room } = partition;
      reading.behind = entries !== undefined && entries.length >= Math.min(count, room);
      // More than it has room for was read with the others; it is read again.
      if (entries && entries.length > 0) this.weigh(entries);
      if (entries) partition.feed(entries.length > room ? entries.slice(0, room) : entries);
      behind ||= reading.behind;
    }
    if (behind) void this.fetch();
  }

  private worked(): void {
    if (this.failures === 0 || [...this.readings.values()].some(({ sick }) => sick)) return;
    this.host.recovered(this.failures, performance.now() - this.failedAt);
    this.failures = 0;
  }

  private async failed(error: Error, readings: readonly Reading[], channel: ReadChannel | undefined): Promise<void> {
    if (!isTransient(error) && (await this.isolate(readings, channel))) return;
    if (this.failures++ === 0) this.failedAt = performance.now();
    const delay = Math.round(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.failures - 1)) * (1 + Math.random() * 0.25));
    this.host.trouble(error, delay, this.failures);
    await sleep(delay, this.stopping.signal);
    if (!this.stopped) await this.redis.refreshTopology();
  }

  /** The server refuses a read of many for the sake of one: finds out which, and leaves it out. @returns whether any was found */
  private async isolate(readings: readonly Reading[], channel: ReadChannel | undefined): Promise<boolean> {
    let found = false;
    for (const reading of readings) {
      try {
        await channel?.read(this.command([reading], undefined).args, 0);
      } catch (error) {
        if (isTransient(error) || this.stopped) return found;
        if (this.failures === 0) this.failedAt = performance.now();
        found = reading.sick = true;
        this.host.trouble(new Error(`partition ${reading.partition.partition} cannot be read: ${(error as Error).message}`, { cause: error }), SICK_MS, 1);
        this.failures++; // over once it is read without an error
        this.timers.in(SICK_MS, () => ((reading.sick = false), this.interrupt(), void this.fetch()));
      }
    }
    return found;
  }

  private command(readings: readonly Reading[], block: number | undefined): { count: number; args: Array<string | number> } {
    const room = Math.max(...readings.map(({ partition }) => partition.room));
    const count = Math.max(1, Math.min(room, Math.floor(REPLY_BYTES / (readings.length * this.messageBytes))));
    const args: Array<string | number> = ['XREAD', 'COUNT', count];
    if (block !== undefined) args.push('BLOCK', block);
    args.push('STREAMS');
    for (const { partition } of readings) args.push(partition.key);
    for (const { partition } of readings) args.push(partition.cursor);
    return { count, args };
  }

  /** Follows growth at once and a decline slowly. */
  private weigh(messages: readonly StreamMessage[]): void {
    let bytes = 0;
    for (const message of messages) bytes += sizeOf(message);
    const mean = bytes / messages.length;
    this.messageBytes = mean > this.messageBytes ? mean : this.messageBytes * 0.8 + mean * 0.2;
  }
}

/** About, in bytes. */
function sizeOf({ key, data, headers, other }: StreamMessage): number {
  let size = 64 + (key?.length ?? 0) + (data?.length ?? 0) + (headers?.length ?? 0);
  if (other) for (const text of other) size += text.length;
  return size;
}
