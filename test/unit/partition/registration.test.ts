import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ClosedError, InvalidOptionsError, StreamMismatchError } from '../../../libs/redis-streams/dist/errors/index.js';
import { murmur2Partitioner } from '../../../libs/redis-streams/dist/kernel/partitioner.js';
import type { StreamRegistration } from '../../../libs/redis-streams/dist/options.js';
import { resolveRegistration, StreamRegistry, type ResolvedRegistration } from '../../../libs/redis-streams/dist/partition/registration.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';

const resolve = (input: object, namespace?: string) => resolveRegistration({ name: 's', partitions: 12, ...input } as StreamRegistration, namespace, ['default', 'second'], 'x');
const paths = (input: object): string[] => resolve(input).problems.map(({ path }) => path).sort();
const registration = (input: object = {}): ResolvedRegistration => resolve(input).value;

describe('resolveRegistration', () => {
  it('defaults are as documented', () => {
    const { value, problems } = resolve({});
    expect(problems).toEqual([]);
    expect(value).toMatchObject({ stream: 's', connection: 'default', definition: { partitions: 12, shards: 1, partitioner: 'murmur2', maxEntries: 1_000_000, keepMs: 0, whenFull: 'reject' } });
    expect(value.partition).toBe(murmur2Partitioner);
  });

  it('puts a namespace before the name: its own, else the module\'s', () => {
    expect([resolve({}, 'a').value.stream, resolve({ namespace: 'b' }, 'a').value.stream]).toEqual(['a:s', 'b:s']);
  });

  it('reports every problem at once', () => {
    expect(paths({
      name: 'a:b', namespace: 5, connection: 'third', partitions: 10_001, shards: 0, partitioner: 'md5', retention: { maxEntries: 0, keepMs: -1, whenFull: 'wait', max: 1 }, partition: 3,
    })).toEqual(['x.connection', 'x.name', 'x.namespace', 'x.partition', 'x.partitioner', 'x.partitions', 'x.retention.keepMs', 'x.retention.max', 'x.retention.maxEntries', 'x.retention.whenFull', 'x.shards']);
  });

  it.each([undefined, 0, 1.5, '12', null, NaN, 10_001])('partitions of %j are refused', (partitions) => { expect(paths({ partitions })).toEqual(['x.partitions']); });

  it.each([5, '5', true, null, []])('retention of %j is refused', (retention) => { expect(paths({ retention })).toEqual(['x.retention']); });

  it('no more shards than partitions; a wrong number of partitions is one problem, not two', () => {
    expect(paths({ partitions: 4, shards: 5 })).toEqual(['x.shards']);
    expect(paths({ partitions: 4, shards: 4 })).toEqual([]);
    expect(paths({ partitions: 20_000, shards: 4 })).toEqual(['x.partitions']);
  });

  it('a partitioner of one\'s own has a name that is not taken, and a function', () => {
    const partition = (key: string, partitions: number): number => key.length % partitions;
    const { value, problems } = resolve({ partitioner: { name: 'by-length', partition } });
    expect(problems).toEqual([]);
    expect([value.definition.partitioner, value.partition('abc', 2)]).toEqual(['by-length', 1]);
    for (const partitioner of [{ name: 'murmur2', partition }, { name: 'a b', partition }, { partition }, { name: 'x' }, null, 5, 'toString', '__proto__']) expect(paths({ partitioner })).toEqual(['x.partitioner']);
  });

  it('calls a partitioner as a method: it may be an object with a state', () => {
    class Table { readonly name = 'table'; readonly offset = 3; partition(_: string, partitions: number): number { return this.offset % partitions; } }
    expect(resolve({ partitioner: new Table() }).value.partition('k', 5)).toBe(3);
  });
});

/** Redis, as far as registrations go. */
function server() {
  const stored = new Map<string, [definition: string, by: string]>();
  const asked: string[] = [];
  const redis = {
    scripts: {
      run: async (_: string, [key]: [string], [definition, by]: [string, string]) => {
        asked.push(definition === '' ? 'ask' : 'tell');
        const known = stored.get(key);
        if (known) return ['EXISTS', ...known];
        if (definition === '') return ['NONE'];
        stored.set(key, [definition, by]);
        return ['OK', definition, by];
      },
    },
  } as unknown as RedisConnection;
  return { stored, asked, registry: (by: string, waitMs = 1_000) => new StreamRegistry(redis, by, waitMs) };
}

describe('StreamRegistry', () => {
  beforeEach(() => { vi.useFakeTimers(); });
  afterEach(() => { vi.useRealTimers(); });

  it('the first registration stands, an equal one changes nothing, a differing one is refused and says in what', async () => {
    const { registry, stored } = server();
    await registry('first').register(registration({ shards: 2 }));
    await registry('second').register(registration({ shards: 2 }));
    const refused = registry('third').register(registration({ partitions: 16, retention: { keepMs: 5 } }));
    await expect(refused).rejects.toBeInstanceOf(StreamMismatchError);
    await expect(refused).rejects.toMatchObject({ stream: 's', registeredBy: 'first', differences: ['partitions: 16 here, 12 as registered', 'shards: 1 here, 2 as registered', 'keepMs: 5 here, 0 as registered'] });
    expect([...stored]).toEqual([['{s}:stream', [JSON.stringify(registration({ shards: 2 }).definition), 'first']]]);
  });

  it('two that differ in one application are refused before anybody is asked', () => {
    const { registry, asked } = server();
    const it_ = registry('me');
    it_.add(registration());
    it_.add(registration());
    expect(() => it_.add(registration({ partitions: 3 }))).toThrow(InvalidOptionsError);
    expect(asked).toEqual([]);
  });

  it('another process finds it by name, and asks once', async () => {
    const { registry, asked } = server();
    const first = registry('first');
    first.add(registration({ partitioner: 'fnv1a' }));
    await first.registerAll();
    const second = registry('second');
    const [known, again] = [await second.get('s', 'me'), await second.get('s', 'me')];
    expect(known).toMatchObject({ stream: 's', partitions: 12, partitioner: 'fnv1a' });
    expect(known.partition).toBeTypeOf('function');
    expect(again).toBe(known);
    expect(asked).toEqual(['tell', 'ask']);
  });

  it('waits for one that is registered a little later', async () => {
    const { registry } = server();
    const found = registry('late').get('s', 'me');
    await vi.advanceTimersByTimeAsync(500);
    await registry('first').register(registration());
    await vi.advanceTimersByTimeAsync(300);
    expect(await found).toMatchObject({ partitions: 12 });
  });

  it('tells after a while that nobody has, with who wanted it; and asks again the next time', async () => {
    const { registry } = server();
    const mine = registry('me');
    const refused = expect(mine.get('s', 'consumer of group "g"')).rejects.toThrow(/consumer of group "g": nobody has registered the stream "s"/);
    await vi.advanceTimersByTimeAsync(1_500);
    await refused;
    await registry('first').register(registration());
    expect(await mine.get('s', 'me')).toMatchObject({ partitions: 12 });
  });

  it('stops waiting when told to', async () => {
    const { registry } = server();
    const stop = new AbortController();
    const refused = expect(registry('me', 3_600_000).get('s', 'me', stop.signal)).rejects.toBeInstanceOf(ClosedError);
    await vi.advanceTimersByTimeAsync(1_000);
    stop.abort();
    await refused;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a partitioner of one\'s own is known where it is given, also when that is later', async () => {
    const { registry } = server();
    const partitioner = { name: 'by-length', partition: (key: string, partitions: number) => key.length % partitions };
    await registry('first').register(registration({ partitioner }));
    const second = registry('second');
    const known = await second.get('s', 'me');
    expect(known.partition).toBeUndefined();
    await second.register(registration({ partitioner }));
    expect(known.partition?.('abcd', 3)).toBe(1);
  });

  it('is written again where Redis was emptied', async () => {
    const { registry, stored } = server();
    const mine = registry('me');
    mine.add(registration());
    await mine.registerAll();
    stored.clear();
    await mine.registerAll();
    expect(stored.size).toBe(1);
  });
});
