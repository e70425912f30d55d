import { ClosedError, CommandTimeoutError } from '../errors/index.js';
import { send, sendWithMore, type Argument, type Client } from './compat.js';
import { Deadlines, withDeadline } from './deadline.js';
import type { WireArguments } from './wire.js';

export interface ChannelHooks {
  ready(): void;
  error(error: Error): void;
  /** Closed, and to be made again. */
  lost?(): void;
  replaced(why: string): void;
}

export interface CallOptions {
  /** Bulk strings as Buffers. */
  readonly buffers?: boolean;
  /** Default: the connection's command timeout. */
  readonly timeoutMs?: number;
  /** A missed deadline says nothing about the connection yet: the deadline is short, and the call will be made again. */
  readonly keepConnection?: boolean;
  /** Arguments behind the others. */
  readonly more?: WireArguments;
}

/**
 * The shared connection for commands. ioredis reconnects by itself after a clean break; a half-open
 * connection it cannot see, so every call has a deadline here, and a call that misses it takes the whole
 * client out of service: a fresh one is made, the old one dropped with whatever it still queued. Replacing
 * rather than reconnecting matters: a `disconnect()` that meets a reconnect in progress parks ioredis for good.
 */
export class CommandChannel {
  private client: Client;
  private closed = false;
  private readonly deadlines: Deadlines;

  constructor(
    private readonly create: () => Client,
    private readonly timeoutMs: number,
    private readonly hooks: ChannelHooks,
  ) {
    this.deadlines = new Deadlines(timeoutMs);
    this.client = this.open();
  }

  /** The present client, for topology questions; do not keep it. */
  get raw(): Client {
    return this.client;
  }

  /** Not async: a promise and two turns less for every command. @throws CommandTimeoutError when unanswered in time: it may or may not have run. */
  call(command: string, args: readonly Argument[], options: CallOptions = {}): Promise<unknown> {
    if (this.closed) return Promise.reject(new ClosedError('the Redis connection'));
    const client = this.client;
    const { timeoutMs = this.timeoutMs } = options;
    let answer: Promise<unknown>;
    try {
      answer = options.more ? sendWithMore(client, command, args, options.more) : send(client, options.buffers === true, command, args);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const late = (): Error => {
      if (!options.keepConnection) this.replace(client, `${command} unanswered for ${timeoutMs} ms`);
      return new CommandTimeoutError(command, timeoutMs);
    };
    return timeoutMs === this.timeoutMs ? this.deadlines.watch(answer, late) : withDeadline(answer, timeoutMs, late);
  }

  close(): void {
    this.closed = true;
    this.client.disconnect();
  }

  private open(): Client {
    const client = this.create();
    client.on('error', (error: Error) => {
      if (client === this.client && !this.closed) this.hooks.error(error);
    });
    client.on('close', () => {
      if (client === this.client && !this.closed) this.hooks.lost?.();
    });
    client.on('ready', () => {
      if (client === this.client && !this.closed) this.hooks.ready();
    });
    return client;
  }

  private replace(stale: Client, why: string): void {
    if (this.closed || stale !== this.client) return; // another call's deadline was first
    this.client = this.open();
    stale.disconnect();
    this.hooks.replaced(why);
  }
}
