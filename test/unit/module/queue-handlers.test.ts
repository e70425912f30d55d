import { Controller, Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { PartitionHandler, QueueHandler, RedisStreamsModule } from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf, FakeEngine } from './support/fake-engine.js';

describe('finding queue handlers', () => {
  it('on providers and on controllers, by name or with options, beside those of partitions', async () => {
    @Injectable()
    class Jobs {
      @QueueHandler('mails')
      mail(): void {}
      @QueueHandler({ queue: 'mails', group: 'audit', concurrency: 4, prefetch: 64, retry: { maxAttempts: 2 } })
      audit(): void {}
      @PartitionHandler({ stream: 'mails', group: 'default' })
      partitioned(): void {}
    }
    @Controller()
    class Far {
      @QueueHandler({ queue: 'mails', namespace: 'shop', connection: 'far' })
      note(): void {}
    }
    const { engine } = await appOf({ providers: [Jobs], controllers: [Far] });
    expect(engine.queueConsumers.map(({ options }) => options)).toEqual([
      { queue: 'mails' }, { queue: 'mails', group: 'audit', concurrency: 4, prefetch: 64, retry: { maxAttempts: 2 } },
      { queue: 'mails', namespace: 'shop', connection: 'far' },
    ]);
    expect(engine.partitionConsumers).toHaveLength(1);
    expect(engine.queueConsumers.map(({ handlers }) => Object.keys(handlers))).toEqual([['message'], ['message'], ['message']]);
    expect(engine.calls).toEqual(['start']);
  });

  it('one method may serve several queues, an inherited one counts, an overridden one does not', async () => {
    class Base {
      @QueueHandler('inherited')
      inherited(): string {
        return this.constructor.name;
      }
      @QueueHandler('overridden')
      overridden(): void {}
    }
    @Injectable()
    class Derived extends Base {
      override overridden(): void {}
      @QueueHandler('a')
      @QueueHandler({ queue: 'b', group: 'g' })
      both(): void {}
    }
    const { engine } = await appOf({ providers: [Derived] });
    expect(engine.queueConsumers.map(({ options }) => options.queue).toSorted()).toEqual(['a', 'b', 'inherited']);
    expect(engine.work('inherited', 1)).toBe('Derived');
  });
});

describe('what is refused at start', () => {
  it('a second handler of one queue, group and connection, however it is named; other groups and connections are none', async () => {
    @Injectable()
    class A {
      @QueueHandler('jobs')
      first(): void {}
      @QueueHandler({ queue: 'jobs', group: 'other' })
      other(): void {}
      @QueueHandler({ queue: 'jobs', connection: 'far' })
      far(): void {}
    }
    @Controller()
    class B {
      @QueueHandler({ queue: 'jobs', group: 'default', namespace: 'shop', connection: 'default' })
      second(): void {}
    }
    const problem = await appOf({ providers: [A], controllers: [B] }, new FakeEngine(), { queue: { namespace: 'shop' } }).then(() => undefined, (error: Error) => error.message);
    expect(problem).toContain('B.second: queue "shop:jobs" in group "default" has a second @QueueHandler; A.first has the first. A group has one handler');
    expect(problem).not.toContain('A.other');
    expect(problem).not.toContain('A.far');
  });

  it('the namespace of streams is not that of queues', async () => {
    @Injectable()
    class A {
      @QueueHandler('jobs')
      plain(): void {}
      @QueueHandler({ queue: 'jobs', namespace: 'shop' })
      named(): void {}
    }
    const { engine } = await appOf({ providers: [A] }, new FakeEngine(), { partition: { namespace: 'shop' } });
    expect(engine.queueConsumers).toHaveLength(2);
  });

  it('wrong options of the decorators, with the method, for all of them at once', async () => {
    @Injectable()
    class Jobs {
      @QueueHandler({ queue: 'jobs', concurrency: 0, prefetsch: 3 } as never)
      work(): void {}
      @QueueHandler({ queue: 'jo bs', group: '', connection: 'nowhere', concurrency: 9, prefetch: 3 })
      other(): void {}
    }
    const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot()], providers: [Jobs] }).setLogger(false as never).compile();
    const error = await app.init().then(() => undefined, (thrown: Error) => thrown.message);
    for (const part of [/QueueHandler of Jobs\.work: .*\.concurrency/, /of Jobs\.work: .*prefetsch: is not an option/, /of Jobs\.other: .*\.queue/, /of Jobs\.other: .*\.group/, /of Jobs\.other: .*\.connection/, /of Jobs\.other: .*\.prefetch: must be at least the concurrency, 9/]) {
      expect(error).toMatch(part);
    }
    await app.close().catch(() => undefined);
  });

  it('a decorator on what is no method', () => {
    expect(() => {
      class Wrong {
        @QueueHandler('jobs')
        get value(): number {
          return 1;
        }
      }
      return Wrong;
    }).toThrow('@QueueHandler belongs on a method, not on value');
  });
});
