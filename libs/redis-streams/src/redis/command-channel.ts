import { ClosedError, CommandTimeoutError, ConnectionError } from '../errors/index.js';
import { isCluster, nodeThatHas, send, sendWithMore, takeOut, type Argument, type Client } from './compat.js';
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
 *   A client of a cluster has a connection to each node, which it never reconnects, and makes anew when it has something to send.
 * There a late call takes out the one connection it is at: what is under way to other nodes must not suffer for one that hangs.
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
    const { progress } = this.deadlines;
    const late = (): Error => {
      if (!options.keepConnection) this.late(client, answer, progress, `${command} unanswered for ${timeoutMs} ms`);
      return new CommandTimeoutError(command, timeoutMs);
    };
    if (timeoutMs === this.timeoutMs) return this.deadlines.watch(answer, late);
    return withDeadline(answer.then((value) => (this.deadlines.progress++, value)), timeoutMs, late);
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

  /** `progress`: as it was when the command was sent. */
  private late(client: Client, answer: Promise<unknown>, progress: number, why: string): void {
    if (this.closed || client !== this.client) return; // another call's deadline was first
    if (!isCluster(client) || client.status !== 'ready') return this.replace(client, why);
    const node = nodeThatHas(client, answer);
    if (node) {
      const { host, port } = node.options;
      takeOut(node, new ConnectionError(`the connection to ${host}:${port} was given up: ${why}`));
      this.deadlines.progress++;
      this.hooks.replaced(`${why} by ${host}:${port}`);
      // The others are there, and nobody tells when that one is: what it serves, it may never serve again.
      return this.hooks.ready();
    }
    // Another call's deadline was first; or the client waits before it tries again, as it does while the cluster is down. If
    // nothing at all gets on, it may not be that.
    if (this.deadlines.progress === progress) this.replace(client, why);
  }

  private replace(stale: Client, why: string): void {
    this.client = this.open();
    stale.disconnect();
    this.hooks.replaced(why);
  }
}
