import { describe, expect, it } from 'vitest';
import { InvalidOptionsError, QueueMismatchError, QueueNotRegisteredError } from '../../../libs/redis-streams/dist/errors/index.js';
import { queueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';
import { shardTags } from '../../../libs/redis-streams/dist/kernel/shard-tags.js';
import type { QueueRegistration } from '../../../libs/redis-streams/dist/options.js';
import { resolveQueueProducer } from '../../../libs/redis-streams/dist/queue/producer-options.js';
import { QueueRegistry, resolveQueueRegistration, type ResolvedQueueRegistration } from '../../../libs/redis-streams/dist/queue/registration.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { slotOf } from '../../../libs/redis-streams/dist/redis/slot.js';

const resolve = (input: object, namespace?: string) => resolveQueueRegistration({ name: 'q', ...input } as QueueRegistration, namespace, ['default', 'second'], 'x');
const paths = (input: object): string[] => resolve(input).problems.map(({ path }) => path).sort();
const registration = (input: object = {}): ResolvedQueueRegistration => resolve(input).value;

describe('resolveQueueRegistration', () => {
  it('defaults are as documented', () => {
    expect(resolve({})).toEqual({ value: { queue: 'q', connection: 'default', definition: { shards: 1, dedupeMs: 600_000 } }, problems: [] });
  });

  it('puts a namespace before the name: its own, else the module\'s', () => {
    expect([resolve({}, 'a').value.queue, resolve({ namespace: 'b' }, 'a').value.queue]).toEqual(['a:q', 'b:q']);
  });

  it('reports every problem at once', () => {
    expect(paths({ name: 'a:b', namespace: 5, connection: 'third', shards: 257, dedupeMs: -1, partitions: 3 })).toEqual(['x.connection', 'x.dedupeMs', 'x.name', 'x.namespace', 'x.partitions', 'x.shards']);
    expect(paths({ shards: 256, dedupeMs: 0 })).toEqual([]);
    for (const none of [undefined, null, 5, []]) expect(resolveQueueRegistration(none as never, undefined, ['default'], 'x').problems.map(({ path }) => path)).toContain('x.name');
  });
});

describe('resolveQueueProducer', () => {
  it('defaults are as documented; those of the module come between', () => {
    const { value } = resolveQueueProducer();
    expect(value).toEqual({ maxPending: 50_000, maxPendingBytes: 33_554_432, whenFull: 'reject', maxBatch: 256, lingerMs: 0, sendTimeoutMs: 15_000, waitReplicas: 0, waitTimeoutMs: 1_000 });
    expect(resolveQueueProducer({ maxPending: 5 }, 'x', { ...value, waitReplicas: 2 }).value).toEqual({ ...value, waitReplicas: 2, maxPending: 5 });
  });

  it('reports every problem, and replicas that are waited for longer than a send lasts', () => {
    const { problems } = resolveQueueProducer({ maxPending: 0, maxPendingBytes: 'x', sendTimeoutMs: 1, waitReplicas: -1, waitTimeoutMs: 0, max: 1, whenFull: 'drop', maxBatch: 2_001, lingerMs: -1 } as object, 'x');
    expect(problems.map(({ path }) => path).sort()).toEqual(['x.lingerMs', 'x.max', 'x.maxBatch', 'x.maxPending', 'x.maxPendingBytes', 'x.sendTimeoutMs', 'x.waitReplicas', 'x.waitTimeoutMs', 'x.whenFull']);
    expect(resolveQueueProducer({ waitReplicas: 1, sendTimeoutMs: 500 }, 'x').problems.map(({ path }) => path)).toEqual(['x.waitTimeoutMs']);
    expect(resolveQueueProducer({ lingerMs: 500, sendTimeoutMs: 500 }, 'x').problems.map(({ path }) => path)).toEqual(['x.lingerMs']);
    expect(resolveQueueProducer({ sendTimeoutMs: 500 }, 'x').problems).toEqual([]);
    for (const none of [null, 5, 'x', [], new Map()]) expect(resolveQueueProducer(none as never, 'x').problems.map(({ path }) => path)).toEqual(['x']);
  });
});

describe('QueueRegistry', () => {
  const server = () => {
    const stored = new Map<string, [string, string]>();
    const run = async (script: string, [key]: [string], [definition, by]: [string, string]) => {
      expect(script).toBe('register');
      const known = stored.get(key);
      if (known) return ['EXISTS', ...known];
      if (definition === '') return ['NONE'];
      stored.set(key, [definition, by]);
      return ['OK', definition, by];
    };
    return { stored, registry: (by: string) => new QueueRegistry({ scripts: { run } } as unknown as RedisConnection, by, 0) };
  };

  it('the first registration stands, a differing one is refused and says in what', async () => {
    const { registry, stored } = server();
    await registry('first').register(registration({ shards: 2 }));
    await registry('second').register(registration({ shards: 2 }));
    const refused = registry('third').register(registration({ dedupeMs: 5 }));
    await expect(refused).rejects.toBeInstanceOf(QueueMismatchError);
    await expect(refused).rejects.toMatchObject({ code: 'QUEUE_MISMATCH', queue: 'q', registeredBy: 'first', differences: ['shards: 1 here, 2 as registered', 'dedupeMs: 5 here, 600000 as registered'] });
    expect([...stored]).toEqual([['{queue:q}:queue', [JSON.stringify({ shards: 2, dedupeMs: 600_000 }), 'first']]]);
  });

  it('two that differ in one application are refused before anybody is asked', () => {
    const mine = server().registry('me');
    mine.add(registration());
    expect(() => mine.add(registration({ shards: 3 }))).toThrow(InvalidOptionsError);
  });

  it('who asks by name is told where it lies; who asks for one that is not there, what to do', async () => {
    const { registry } = server();
    await registry('first').register(registration({ shards: 3 }));
    expect(JSON.stringify(await registry('second').get('q', 'me'))).toBe(JSON.stringify({ shards: 3, dedupeMs: 600_000, queue: 'q', keys: shardTags('queue:q', 3, slotOf).map(queueShardKeys) }));
    const missing = registry('second').get('other', 'me');
    await expect(missing).rejects.toBeInstanceOf(QueueNotRegisteredError);
    await expect(missing).rejects.toThrow(/me: nobody has registered the queue "other".*registerQueue/);
  });
});
