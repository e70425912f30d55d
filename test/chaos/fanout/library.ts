import type { RoomStore as Store } from '../../../libs/redis-streams/dist/fanout/store.js';
import { load } from '../library.js';

interface ShardKeys { readonly sessions: string }
interface Keys { readonly state: string }

/** Names of the fanout capability's keys, for looking at the server past the library. */
export const { fanoutShardKeys, roomKeys } = (await load('keys/fanout-keys.js')) as {
  fanoutShardKeys(namespace: string | undefined, shard: number): ShardKeys;
  roomKeys(namespace: string | undefined, shard: number, room: string): Keys;
};

/** The library's own I/O, for sending what its client would never send. */
export const { RoomStore } = (await load('fanout/store.js')) as { RoomStore: typeof Store };

const { slotOf } = (await load('redis/slot.js')) as { slotOf(key: string): number };

export function shardOfRoom(room: string, shards: number): number {
  return slotOf(room) % shards;
}
