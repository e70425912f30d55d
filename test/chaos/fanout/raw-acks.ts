import { Cluster, Redis } from 'ioredis';
import type { ConnectionOptions } from 'nestjs-redis-streams/fanout';
import { LUA } from '../library.js';
import { roomKeys, RoomStore, shardOfRoom } from './library.js';

/** What the server has of a session's acknowledgement of one turn: owed still; taken, and the message is still the room's current one; or it is over. */
export type Standing = 'owed' | 'taken' | 'over';

/** The connection could not be had, or ended: that says nothing about what was sent. */
export function isOfConnection(error: unknown): boolean {
  if (!(error instanceof Error) || error.name === 'ReplyError') return false;
  return 'syscall' in error || ['MaxRetriesPerRequestError', 'ClusterAllFailedError', 'AbortError'].includes(error.name) || /^(Connection is closed|None of startup nodes)/.test(error.message);
}

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
    return (await this.redis.hget(this.stateOf(room), 'turn')) ?? undefined;
  }

  async standing(session: string, room: string, turn: string): Promise<Standing> {
    const [current, noted] = await this.redis.hmget(this.stateOf(room), 'turn', session);
    if (current !== turn || noted === null || noted === 'async') return 'over';
    return Number(noted) < Number(turn) ? 'owed' : 'taken';
  }

  close(): void {
    this.redis.disconnect();
  }

  private stateOf(room: string): string {
    return roomKeys(undefined, shardOfRoom(room, this.stores.length), room).state;
  }
}
