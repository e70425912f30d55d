import { ClosedError, CommandTimeoutError } from '../errors/index.js';
import { send, sendWithMore, type Argument, type Client } from './compat.js';
import { withDeadline } from './deadline.js';
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

  constructor(
    private readonly create: () => Client,
    private readonly timeoutMs: number,
    private readonly hooks: ChannelHooks,
  ) {
    this.client = this.open();
  }

  /** The present client, for topology questions; do not keep it. */
  get raw(): Client {
    return this.client;
  }

  /** @throws CommandTimeoutError when unanswered in time: it may or may not have run. */
  async call(command: string, args: readonly Argument[], options: CallOptions = {}): Promise<unknown> {
    if (this.closed) throw new ClosedError('the Redis connection');
    const client = this.client;
    const timeoutMs = options.timeoutMs ?? this.timeoutMs;
    const answer = options.more ? sendWithMore(client, command, args, options.more) : send(client, options.buffers === true, command, args);
    return withDeadline(answer, timeoutMs, () => {
      if (!options.keepConnection) this.replace(client, `${command} unanswered for ${timeoutMs} ms`);
      return new CommandTimeoutError(command, timeoutMs);
    });
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
