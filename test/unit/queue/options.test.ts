import { describe, expect, it } from 'vitest';
import type { QueueConsumerOptions, QueueDefaults } from '../../../libs/redis-streams/dist/options.js';
import { resolveQueueConsumer, resolveQueueDefaults } from '../../../libs/redis-streams/dist/queue/options.js';

const defaults = (input?: object) => resolveQueueDefaults(input as QueueDefaults);
const consumer = (input: object, base?: object) => resolveQueueConsumer({ queue: 'q', ...input } as QueueConsumerOptions, defaults(base).value, { connections: ['default', 'second'], path: 'x' });
const paths = (input: object, base?: object): string[] => consumer(input, base).problems.map(({ path }) => path).sort();

describe('options of a queue\'s consumer', () => {
  it('defaults are as documented', () => {
    const { value, problems } = consumer({});
    expect(problems).toEqual([]);
    expect(value).toEqual({
      queue: 'q', group: 'default', connection: 'default', concurrency: 16, prefetch: 4_096, prefetchFrom: 256, ack: 'auto', maxProcessingMs: 300_000, blockMs: 2_000, maxAttempts: 5,
      backoff: { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 }, maxCrashes: 3, startFrom: '0-0',
    });
    expect(defaults().value).toMatchObject({ namespace: undefined, registrationWaitMs: 5_000 });
  });

  it('those of the module come between, one by one', () => {
    const base = { namespace: 'shop', concurrency: 4, prefetch: 8, ack: 'manual', retry: { maxAttempts: 2, initialMs: 7 }, maxCrashes: 0, startFrom: 'latest', maxProcessingMs: 50 };
    expect(consumer({ retry: { initialMs: 9 }, maxCrashes: 1 }, base).value).toMatchObject({
      queue: 'shop:q', concurrency: 4, prefetch: 8, prefetchFrom: 8, ack: 'manual', maxAttempts: 2, backoff: { initialMs: 9, factor: 2 }, maxCrashes: 1, startFrom: '$', maxProcessingMs: 50,
    });
    expect(consumer({ namespace: 'own', startFrom: 'earliest', group: 'g', connection: 'second' }, base).value).toMatchObject({ queue: 'own:q', startFrom: '0-0', group: 'g', connection: 'second' });
  });

  it('what is held includes what is handled: prefetch is at least the concurrency', () => {
    expect(consumer({ concurrency: 1_000 }).value).toMatchObject({ prefetch: 4_096, prefetchFrom: 1_000 });
    expect(consumer({ concurrency: 10_000 }).value).toMatchObject({ prefetch: 10_000, prefetchFrom: 10_000 });
    expect(consumer({ prefetch: 700 }).value).toMatchObject({ prefetch: 700, prefetchFrom: 700 });
    expect(paths({ concurrency: 10, prefetch: 9 })).toEqual(['x.prefetch']);
    expect(paths({ concurrency: 10, prefetch: 10 })).toEqual([]);
  });

  it('takes no number, text or list for options', () => {
    expect(paths({ retry: 5 })).toEqual(['x.retry']);
    expect(paths({ retry: [] })).toEqual(['x.retry']);
    expect(paths({ group: null })).toEqual(['x.group']);
    expect(defaults(5 as never).problems).toEqual([{ path: 'queue', message: 'must be an object (got 5)' }]);
  });

  it('reports every problem at once, with its path', () => {
    expect(paths({
      queue: 'a b', group: '', namespace: '{}', connection: 'third', concurrency: 0, prefetch: 'x', ack: 'later', maxProcessingMs: 1, maxCrashes: -1, startFrom: '5-0', retry: { maxAttempts: 0, maxMs: -1, tries: 3 }, shards: 4,
    })).toEqual(['x.ack', 'x.concurrency', 'x.connection', 'x.group', 'x.maxCrashes', 'x.maxProcessingMs', 'x.namespace', 'x.prefetch', 'x.queue', 'x.retry.maxAttempts', 'x.retry.maxMs', 'x.retry.tries', 'x.shards', 'x.startFrom']);
    expect(defaults({ registrationWaitMs: -1, group: 'g', producer: { maxPending: 0 }, namespace: '' }).problems.map(({ path }) => path).sort()).toEqual(['queue.group', 'queue.namespace', 'queue.producer.maxPending', 'queue.registrationWaitMs']);
  });
});
