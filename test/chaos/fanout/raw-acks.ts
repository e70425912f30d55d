import { Cluster, Redis } from 'ioredis';
import type { ConnectionOptions } from 'nestjs-redis-streams/fanout';
import { LUA } from '../library.js';
import { roomKeys, RoomStore, shardOfRoom } from './library.js';

/** The library's room store over a bare connection, without any of its client's own fences. */
export class RawAcks {
  private readonly redis: Redis | Cluster;
  private readonly stores: ReadonlyArray<InstanceType<typeof RoomStore>>;

  constructor(connection: ConnectionOptions, shards: number, roomTimeoutMs: number) {
    const bare = { maxRetriesPerRequest: 0, enableOfflineQueue: true };
    this.redis = 'cluster' in connection && connection.cluster !== undefined ? new Cluster([...connection.cluster.nodes] as Array<{ host: string; port: number }>) : new Redis((connection as { url: string }).url, bare);
    this.redis.on('error', () => undefined); // told by the command that fails
    const scripts = { run: (name: string, keys: readonly string[], args: ReadonlyArray<string | number>) => this.redis.eval(LUA[name] ?? '', keys.length, ...keys, ...args) };
    const options = { namespace: undefined, whenEmpty: 'hold', ackTimeoutMs: roomTimeoutMs, maxRedeliveries: 3, shards };
    this.stores = Array.from({ length: shards }, (_, shard) => new RoomStore({ scripts } as never, options as never, shard));
  }

  /** @returns 1: taken; 0: not owed; -1: no member */
  async acknowledge(session: string, room: string, turn: string): Promise<number> {
    const store = this.stores[shardOfRoom(room, this.stores.length)]!;
    return (await store.acknowledge(session, [{ room, turn: turn as unknown as number, ejected: [] }]))[0] ?? 0;
  }

  /** In which the room's current message is shown. Its handlers do not know, but acknowledgements name it. */
  async turn(room: string): Promise<string | undefined> {
    return (await this.redis.hget(roomKeys(undefined, shardOfRoom(room, this.stores.length), room).state, 'turn').catch(() => null)) ?? undefined;
  }

  close(): void {
    this.redis.disconnect();
  }
}
