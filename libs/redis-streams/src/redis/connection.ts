import type { Redis, RedisOptions } from 'ioredis';
import { ClosedError, ConnectionError } from '../errors/index.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ConnectionOptions } from '../options.js';
import { BlockingChannel } from './blocking-channel.js';
import { Channels, type ChannelsHooks } from './channels.js';
import { CLOSE_MS, createClient } from './client-factory.js';
import { CommandChannel, type ChannelHooks } from './command-channel.js';
import { isCluster, nodeOfSlot, refreshSlots, type Client } from './compat.js';
import { Doorbell } from './doorbell.js';
import { probeServer } from './probe.js';
import { ReadChannel } from './read-channel.js';
import { ReplicatedChannel, type ReplicatedOptions } from './replicated-channel.js';
import { ScriptRunner } from './script-runner.js';
import { slotOf } from './slot.js';

/** One named Redis and every connection to it, by role. Nothing connects before it is first used. */
export class RedisConnection {
  private commandChannel: CommandChannel | undefined;
  private bell: Doorbell | undefined;
  private runner: ScriptRunner | undefined;
  private readonly blocking = new Set<BlockingChannel | ReadChannel | ReplicatedChannel | Channels>();
  private closed = false;
  private readonly lostListeners = new Set<() => void>();

  constructor(
    readonly name: string,
    private readonly options: ConnectionOptions,
    private readonly commandTimeoutMs: number,
    private readonly events: RedisStreamsEvents,
  ) {}

  get commands(): CommandChannel {
    if (!this.commandChannel) this.throwIfClosed();
    return (this.commandChannel ??= new CommandChannel(() => createClient(this.options, 'command'), this.commandTimeoutMs, {
      ...this.hooks('command'),
      lost: () => this.lostListeners.forEach((listener) => listener()),
    }));
  }

  get doorbell(): Doorbell {
    if (!this.bell) this.throwIfClosed();
    return (this.bell ??= new Doorbell(() => createClient(this.options, 'subscriber'), this.hooks('subscriber')));
  }

  get scripts(): ScriptRunner {
    return (this.runner ??= new ScriptRunner(this.commands));
  }

  get isCluster(): boolean {
    return isCluster(this.commands.raw);
  }

  /** Calls back whenever the connection for commands has been closed and is to be made again. @returns a function that ends that */
  onLost(listener: () => void): () => void {
    this.lostListeners.add(listener);
    return () => this.lostListeners.delete(listener);
  }

  /** A connection for blocking reads of `key`; on Cluster, to the node that serves its slot at that moment. */
  blockingFor(key: string): BlockingChannel {
    this.throwIfClosed();
    const channel = new BlockingChannel(() => this.dedicated(key), () => this.blocking.delete(channel));
    this.blocking.add(channel);
    return channel;
  }

  /** A connection for reading streams in the slot of `key` with XREAD, as `blockingFor`. */
  readingFor(key: string): ReadChannel {
    this.throwIfClosed();
    const channel = new ReadChannel(() => this.dedicated(key, { protocol: 2, disableClientInfo: true }), () => this.blocking.delete(channel));
    this.blocking.add(channel);
    return channel;
  }

  /** A connection for commands on keys in the slot of `key` that replicas are to have. */
  replicatedFor(key: string, options: ReplicatedOptions): ReplicatedChannel {
    this.throwIfClosed();
    const channel = new ReplicatedChannel(
      () => this.dedicated(key, { connectionName: 'nestjs-redis-streams:replicated' }),
      () => this.refreshTopology(),
      () => this.blocking.delete(channel),
      this.commandTimeoutMs,
      options,
    );
    this.blocking.add(channel);
    return channel;
  }

  /** A connection for pub/sub channels in the slot of `key`. */
  channelsFor(key: string, restored: ChannelsHooks['restored']): Channels {
    this.throwIfClosed();
    const { error, replaced } = this.hooks('subscriber');
    const channels = new Channels(
      () => this.dedicated(key, { protocol: 2, disableClientInfo: true }),
      () => this.refreshTopology(),
      { restored, error, replaced },
      () => this.blocking.delete(channels),
      this.commandTimeoutMs,
    );
    this.blocking.add(channels);
    return channels;
  }

  /** After a read that met the wrong node: on Cluster, asks who serves what, so that the next connection goes there. */
  async refreshTopology(): Promise<void> {
    const client = this.commands.raw;
    if (isCluster(client)) await refreshSlots(client);
  }

  /** Tells once what is wrong with the server, if this connection is in use. */
  async probe(): Promise<void> {
    if (!this.commandChannel) return;
    for (const warning of await probeServer(this.commandChannel)) this.events.emit('server.warning', { connection: this.name, warning });
  }

  close(): void {
    this.closed = true;
    for (const channel of this.blocking) channel.close();
    this.bell?.close();
    this.commandChannel?.close();
  }

  private dedicated(key: string, more: RedisOptions = {}): Redis {
    const template: Client = this.commands.raw;
    const node = isCluster(template) ? nodeOfSlot(template, slotOf(key)) : template;
    if (!node) throw new ConnectionError(`no cluster node is known to serve the slot of "${key}" at present`);
    return node.duplicate({
      connectionName: 'nestjs-redis-streams:blocking',
      ...more,
      retryStrategy: () => null,
      reconnectOnError: () => false,
      enableOfflineQueue: true,
      enableReadyCheck: false,
      disconnectTimeout: CLOSE_MS,
      lazyConnect: false,
      maxRetriesPerRequest: null,
      // A blocking read is silent for as long as it blocks, and has a deadline of its own.
      commandTimeout: undefined,
      socketTimeout: undefined,
      readOnly: false,
    });
  }

  /** What was never opened must not open now: nobody would close it. */
  private throwIfClosed(): void {
    if (this.closed) throw new ClosedError(`the Redis connection "${this.name}"`);
  }

  private hooks(role: string): ChannelHooks {
    const connection = this.name;
    return {
      ready: () => this.events.emit('connection.ready', { connection, role }),
      error: (error) => this.events.emit('connection.error', { connection, role, error }),
      replaced: (why) => this.events.emit('connection.replaced', { connection, role, why }),
    };
  }
}
