import type { Redis } from 'ioredis';
import { ClosedError, ConnectionError } from '../errors/index.js';
import type { Reply } from '../kernel/resp-reader.js';
import { Line } from './line.js';
import { sleep } from './sleep.js';

/** Channels in one SUBSCRIBE. */
const CHUNK = 200;
const CHECK_MS = 5_000;

export interface ChannelsHooks {
  /** These are heard again after a break: what was said meanwhile was missed. */
  restored(channels: readonly string[]): void;
  error(error: Error): void;
  replaced(why: string): void;
}

type Verb = 'ssubscribe' | 'subscribe';

interface Channel {
  readonly listener: (message: string) => void;
  /** It was. */
  isHeard: boolean;
  heard(): void;
  given(error: Error): void;
}

/**
 * Thousands of pub/sub channels of one hash slot over one connection: sharded pub/sub where the server has it (Redis 7.0),
 * else the classic kind; publishers decide by the same rule. Unlike ioredis it knows when a channel is really heard: `join`
 * resolves then, and after a break `restored` says so, when nothing said from then on can be missed. What is to be answered
 * to a message may go the way it came (`call`).
 */
export class Channels {
  private readonly wanted = new Map<string, Channel>();
  private line: Line | undefined;
  private opening: Promise<Line> | undefined;
  private verb: Verb = 'ssubscribe';
  private failures = 0;
  private check: NodeJS.Timeout | undefined;
  /** Not heard yet, or not any more. */
  private readonly pending = new Set<string>();
  private flushing: Promise<void> | undefined;
  private readonly closed = new AbortController();

  constructor(
    private readonly create: () => Redis,
    /** Something is wrong with where we are connected to: find out who serves the slot before the next try. */
    private readonly lookAgain: () => Promise<void>,
    private readonly hooks: ChannelsHooks,
    private readonly onClose: () => void,
    private readonly answerMs: number,
  ) {}

  /**
   * Resolves when the channel is heard; waits for a server that is away. One listener a channel.
   * @throws ClosedError when left or closed meanwhile | ConnectionError when this user has no right to it; one that was heard is asked for again and again
   */
  join(channel: string, listener: (message: string) => void): Promise<void> {
    if (this.closed.signal.aborted) return Promise.reject(new ClosedError('the subscriber connection'));
    return new Promise((heard, given) => {
      this.wanted.set(channel, { listener, isHeard: false, heard, given });
      this.pending.add(channel);
      this.start();
    });
  }

  leave(channel: string): void {
    this.wanted.get(channel)?.given(new ClosedError('the subscription'));
    if (!this.wanted.delete(channel)) return;
    this.pending.delete(channel);
    this.line?.channels(this.verb === 'ssubscribe' ? 'sunsubscribe' : 'unsubscribe', [channel]).catch(() => undefined);
  }

  /** A command on a key of the slot, as it stands on the wire. Undefined: not now, or not on this server. @throws ConnectionError | Refusal */
  call(command: string): Promise<Reply> | undefined {
    const { line } = this;
    if (!line?.takesCommands) return undefined;
    return line.encoded(command).catch((error: Error) => {
      // Whoever serves the slot now: on this node channels may be heard as before, for it is that one's replica.
      if (/^(MOVED|READONLY)/.test(error.message)) this.drop(line, error.message);
      throw error;
    });
  }

  /** The same without an answer: from a server that still tells what is said in the channels meanwhile. @returns whether it was sent */
  tell(command: string): boolean {
    if (!this.line?.takesUnanswered) return false;
    this.line.unanswered(command);
    return true;
  }

  close(): void {
    this.closed.abort();
    clearInterval(this.check);
    this.line?.close();
    this.line = undefined;
    for (const { given } of this.wanted.values()) given(new ClosedError('the subscriber connection'));
    this.onClose();
  }

  private start(): Promise<void> {
    return (this.flushing ??= this.flush().finally(() => (this.flushing = undefined)));
  }

  /** Everything that was asked for in this turn in few commands. A failure puts what it was about back. */
  private async flush(): Promise<void> {
    await Promise.resolve();
    while (this.pending.size > 0 && !this.closed.signal.aborted) {
      const chunk = [...this.pending].slice(0, CHUNK).map((name) => [name, this.wanted.get(name)] as const);
      try {
        const line = await this.connection();
        await this.subscribe(line, chunk);
        this.failures = 0;
        // Another connection meanwhile: what this one hears nobody will.
        if (this.line !== line) continue;
        for (const [name, channel] of chunk) {
          if (!channel || this.wanted.get(name) !== channel) continue; // left meanwhile, and perhaps joined again behind the UNSUBSCRIBE
          this.pending.delete(name);
          channel.isHeard = true;
          channel.heard();
        }
      } catch {
        await this.backOff();
      }
    }
  }

  /** Of those to which this user has no right, whoever asked is told; the others are not to suffer for it. */
  private async subscribe(line: Line, chunk: ReadonlyArray<readonly [name: string, channel: Channel | undefined]>): Promise<void> {
    try {
      await line.channels(this.verb, chunk.map(([name]) => name));
    } catch (error) {
      const { message } = error as Error;
      if (this.verb === 'ssubscribe' && /unknown command/i.test(message)) {
        this.verb = 'subscribe';
        return this.subscribe(line, chunk);
      }
      const forbidden = message.startsWith('NOPERM');
      if (forbidden && chunk.length > 1) {
        for (const each of chunk) await this.subscribe(line, [each]);
        return;
      }
      this.hooks.error(error as Error);
      if (forbidden && this.refuse(chunk[0]!, error)) return;
      // Whose right it is not any more is asked for ever less often; another error may be over on the next connection.
      if (!forbidden) this.failures = 0;
      this.drop(line, message);
      throw error;
    }
  }

  /** @returns false: it was heard before, and may be again */
  private refuse([name, channel]: readonly [string, Channel | undefined], error: unknown): boolean {
    if (channel?.isHeard) return false;
    if (channel && this.wanted.get(name) === channel) {
      this.wanted.delete(name);
      this.pending.delete(name);
      channel.given(new ConnectionError(`the channel "${name}": ${(error as Error).message}`, error));
    }
    return true;
  }

  private connection(): Promise<Line> {
    if (this.line) return Promise.resolve(this.line);
    return (this.opening ??= this.open().finally(() => (this.opening = undefined)));
  }

  private async open(): Promise<Line> {
    const client = this.create();
    client.on('error', (error: Error) => !this.closed.signal.aborted && this.hooks.error(error));
    const line = await Line.open(
      client,
      this.answerMs,
      (channel, message) => this.wanted.get(channel)?.listener(message),
      (ended, why) => this.drop(ended, why),
    );
    if (this.closed.signal.aborted) {
      line.close();
      throw new ClosedError('the subscriber connection');
    }
    this.line = line;
    this.check ??= setInterval(() => void this.ping(), CHECK_MS).unref();
    return line;
  }

  /** Opens another and asks for everything again. */
  private drop(line: Line, why: string): void {
    if (this.line !== line) return;
    this.line = undefined;
    line.close();
    if (this.closed.signal.aborted) return;
    this.hooks.replaced(why);
    const before = [...this.wanted.keys()];
    for (const channel of before) this.pending.add(channel);
    void this.restore(before);
  }

  private async restore(before: readonly string[]): Promise<void> {
    await this.lookAgain().catch(() => undefined);
    await this.start();
    if (!this.closed.signal.aborted) this.hooks.restored(before.filter((channel) => this.wanted.has(channel)));
  }

  private async backOff(): Promise<void> {
    this.failures++;
    await sleep(20 + Math.random() * Math.min(2_000, 50 * 2 ** Math.min(this.failures, 10)), this.closed.signal);
    if (this.failures > 1 && !this.closed.signal.aborted) await this.lookAgain().catch(() => undefined);
  }

  /** A half-open connection looks exactly like a quiet one; and a slot that moved away is told by the answer. */
  private async ping(): Promise<void> {
    const { line } = this;
    const channel = this.wanted.keys().next().value;
    if (!line || channel === undefined || this.flushing) return;
    await this.subscribe(line, [[channel, this.wanted.get(channel)]]).catch(() => undefined);
  }
}
