import { expect, it } from 'vitest';
import type { StreamMessage } from '../../../libs/redis-streams/dist/kernel/xread-parser.js';
import type { OwnedPartition } from '../../../libs/redis-streams/dist/partition/owned-partition.js';
import { Lane, type ReaderHost } from '../../../libs/redis-streams/dist/partition/reader.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { waitUntil } from '../../support/wait.js';

const ROOM = 256;
const LARGE = 'x'.repeat(1_048_576);
const none = { key: undefined, data: undefined, headers: undefined, other: undefined };

it.each<[string, Partial<StreamMessage>]>([['data', { data: LARGE }], ['headers', { headers: LARGE }], ['fields of somebody else', { other: ['a', LARGE] }]])('messages with large %s are asked for in small numbers', async (_, message) => {
  const counts: number[] = [];
  const read = async (args: ReadonlyArray<string | number>): Promise<ReadonlyMap<string, StreamMessage[]>> => {
    counts.push(Number(args[2]));
    if (counts.length > 1) await new Promise(() => undefined);
    return new Map([['key', [{ ...none, id: '1-0', ...message }]]]);
  };
  const lane = new Lane({ readingFor: () => ({ read, close: () => undefined }) } as unknown as RedisConnection, 0, {} as ReaderHost);
  lane.add({ key: 'key', cursor: '0-0', room: ROOM, isFull: false, wantsMore: true, feed: () => undefined } as unknown as OwnedPartition);
  await waitUntil(() => counts.length > 1, { what: 'it reads again' });
  expect(counts[0]).toBe(ROOM);
  expect(counts[1]).toBeLessThanOrEqual(16);
});
