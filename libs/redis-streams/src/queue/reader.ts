import { isTransient } from '../kernel/server-errors.js';
import type { StreamMessage } from '../kernel/xread-parser.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ReadChannel } from '../redis/read-channel.js';
import { sleep } from '../redis/sleep.js';

const MAX_COUNT = 1_000;
const FEW = 4;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 1_000;
/** A reply is to be about this large at most, and messages are this large until some were seen. */
const REPLY_BYTES = 16_777_216;
const GUESS_BYTES = 16_384;

export interface QueueReaderHost {
  /** The live session, or undefined: nothing may be read. */
  session(): string | undefined;
  /** Messages worth asking for now; 0: none. */
  wanted(): number;
  /** `more`: as many as were asked for. */
  deliver(messages: readonly StreamMessage[], more: boolean): void;
  /** No read is under way: compares what the server has given this session with what it knows of. */
  compare(session: string): Promise<void>;
  /** The group is gone, or never was. */
  createGroup(): Promise<void>;
  trouble(error: Error, retryInMs: number, failures: number): void;
  recovered(failures: number, downMs: number): void;
}

/**
 * Reads new messages of one shard with XREADGROUP. What it asks for is the server's to give even when the answer is
 * lost on the way; so after every broken read, and whenever the counts differ, both sides compare notes between two reads.
 */
export class QueueReader {
  private channel: ReadChannel | undefined;
  private loop: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private suspect = false;
  private behind = true;
  private failures = 0;
  private failedAt = 0;
  private messageBytes = GUESS_BYTES;
  private readonly stopping = new AbortController();

  constructor(
    private readonly redis: RedisConnection,
    private readonly key: string,
    private readonly group: string,
    private readonly blockMs: number,
    private readonly host: QueueReaderHost,
  ) {}

  start(): void {
    this.loop ??= this.run();
  }

  /** There may be room, or a session. */
  look(): void {
    this.wake?.();
  }

  /** Something was given to this session that it may not know of. */
  doubt(): void {
    this.suspect = true;
    this.wake?.();
  }

  /** Breaks a read that blocks: it is not to go on for this session, or not now. */
  interrupt(): void {
    this.suspect = true;
    this.channel?.close();
    this.channel = undefined;
    this.wake?.();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.interrupt();
    await this.loop;
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      const session = this.host.session();
      const wanted = session === undefined ? 0 : this.host.wanted();
      if (session === undefined || (wanted === 0 && !this.suspect)) {
        await new Promise<void>((resolve) => (this.wake = resolve));
        this.wake = undefined;
        continue;
      }
      let channel: ReadChannel | undefined;
      try {
        if (this.suspect) {
          this.suspect = false;
          await this.host.compare(session);
          continue;
        }
        channel = this.channel ??= this.redis.readingFor(this.key);
        await this.read(channel, session, wanted);
      } catch (error) {
        if (this.isStopped) return;
        this.suspect = true;
        if (channel !== undefined && this.channel !== channel) continue; // interrupted on purpose
        await this.failed(error as Error);
      }
    }
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private async read(channel: ReadChannel, session: string, wanted: number): Promise<void> {
    const count = Math.max(1, Math.min(wanted, MAX_COUNT, Math.floor(REPLY_BYTES / this.messageBytes)));
    const args: Array<string | number> = ['XREADGROUP', 'GROUP', this.group, session, 'COUNT', count];
    if (!this.behind) args.push('BLOCK', this.blockMs);
    args.push('STREAMS', this.key, '>');
    const reply = await channel.read(args, this.behind ? 0 : this.blockMs);
    const messages = reply.get(this.key) ?? [];
    this.behind = messages.length >= count;
    this.worked();
    if (messages.length === 0) return;
    this.weigh(messages);
    // Of a session that is over meanwhile they are for others, who will find them.
    if (this.host.session() === session) this.host.deliver(messages, this.behind);
    // What few handlers say at once goes before the next read; of many the next are to be on their way meanwhile.
    if (messages.length <= FEW) await new Promise((resolve) => setImmediate(resolve));
  }

  private worked(): void {
    if (this.failures === 0) return;
    this.host.recovered(this.failures, performance.now() - this.failedAt);
    this.failures = 0;
  }

  private async failed(error: Error): Promise<void> {
    this.behind = true;
    if (/^NOGROUP\b|^UNBLOCKED\b|no such key/i.test(error.message)) {
      const created = await this.host.createGroup().then(() => true, () => false);
      if (created && this.failures === 0) return;
    }
    if (this.failures++ === 0) this.failedAt = performance.now();
    const delay = Math.round(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.failures - 1)) * (1 + Math.random() * 0.25));
    this.host.trouble(error, delay, this.failures);
    await sleep(delay, this.stopping.signal);
    if (!this.isStopped && isTransient(error)) await this.redis.refreshTopology();
  }

  /** Follows growth at once and a decline slowly. */
  private weigh(messages: readonly StreamMessage[]): void {
    let bytes = 0;
    for (const { data } of messages) bytes += 64 + (data?.length ?? 0);
    const mean = bytes / messages.length;
    this.messageBytes = mean > this.messageBytes ? mean : this.messageBytes * 0.8 + mean * 0.2;
  }
}
