import { expect, it } from 'vitest';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';
import { GroupStore } from '../../../libs/redis-streams/dist/partition/group-store.js';
import { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'owners of partitions, the scripts by hand', (world) => {
  it('who knows of a partition by an older token, and is not to have it, has given it back', async () => {
    const stream = await world().stream(2);
    const redis = new RedisConnection('by hand', world().connection, 5_000, new RedisStreamsEvents());
    world().onEnd(() => redis.close());
    const store = new GroupStore(redis, stream, 'group', 2);
    const sequences = new Map<string, number>();
    const sync = async (member: string, held: ReadonlyArray<readonly [number, number]> = []) => {
      const sequence = (sequences.get(member) ?? 0) + 1;
      sequences.set(member, sequence);
      const reply = await store.sync(`${member}:1`, member, false, '', [], held, 1_000, sequence);
      if (typeof reply === 'string') throw new Error(reply);
      return reply;
    };
    const rowsOf = async (member: string, held?: ReadonlyArray<readonly [number, number]>) => (await sync(member, held)).rows!.map(({ partition, how }) => [partition, how]);
    for (const member of ['a', 'b']) await world().cli(['ZADD', keysOf(stream).sessions, Date.now() + 3_600_000, `${member}:1`]);
    const plan = async (target: Record<string, number[]>) => expect(await store.plan((await store.roster()).generation, new Map(Object.entries(target)))).toBe(true);

    await sync('a');
    await plan({ a: [0, 1] });
    const known = (await sync('a')).rows!.map(({ partition, token }) => [partition, token] as const);
    await store.control('evict', [1]);
    // Its own again, under another token; but that answer is lost, and the target changes.
    expect(await rowsOf('a', known)).toEqual([[1, 'gone'], [0, 'held'], [1, 'free']]);
    await sync('b');
    await plan({ a: [0], b: [1] });
    expect(await rowsOf('b')).toEqual([[1, 'wait']]);
    expect(await rowsOf('a', known)).toEqual([[1, 'gone'], [0, 'held']]);
    // It has settled, and never asks again.
    expect(await rowsOf('b')).toEqual([[1, 'free']]);
  });
});
