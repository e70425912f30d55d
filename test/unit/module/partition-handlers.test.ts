import { Controller, Injectable, Scope } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  OnPartitionsAssigned, OnPartitionsLost, OnPartitionsRevoked, OnStreamAssigned, PartitionHandler, type PartitionsEvent,
  type PartitionsLost, type PartitionsRevoked, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf, FakeEngine, fakeMessage } from './support/fake-engine.js';

const group = { stream: 'payments', group: 'ledger' };
const told: PartitionsEvent = { ...group, partitions: [{ partition: 1, fencingToken: 7 }] };

describe('finding partition handlers', () => {
  it('on providers and on controllers, with the options of the decorator, beside those of leases', async () => {
    @Injectable()
    class Ledger {
      @PartitionHandler({ ...group, concurrency: 4, retry: { maxAttempts: 2 } })
      book(): void {}
      @OnStreamAssigned('payments')
      lease(): void {}
    }
    @Controller()
    class Audit {
      @PartitionHandler({ stream: 'payments', group: 'audit', namespace: 'shop', connection: 'far' })
      note(): void {}
    }
    const { engine } = await appOf({ providers: [Ledger], controllers: [Audit] });
    expect(engine.partitionConsumers.map(({ options }) => options)).toEqual([
      { ...group, concurrency: 4, retry: { maxAttempts: 2 } },
      { stream: 'payments', group: 'audit', namespace: 'shop', connection: 'far' },
    ]);
    expect(engine.consumers.map(({ options }) => options)).toEqual([{ service: 'payments' }]);
    expect(engine.calls).toEqual(['start']);
  });

  it('one method may serve several groups, an inherited one counts, an overridden one does not', async () => {
    class Base {
      @PartitionHandler({ stream: 'inherited', group: 'g' })
      inherited(): string {
        return this.constructor.name;
      }
      @PartitionHandler({ stream: 'overridden', group: 'g' })
      overridden(): void {}
    }
    @Injectable()
    class Derived extends Base {
      override overridden(): void {}
      @PartitionHandler({ stream: 'both', group: 'g' })
      @PartitionHandler({ stream: 'both', group: 'h' })
      both(): void {}
    }
    const { engine } = await appOf({ providers: [Derived] });
    expect(engine.partitionConsumers.map(({ options }) => `${options.stream} ${options.group}`).toSorted()).toEqual(['both g', 'both h', 'inherited g']);
    expect(engine.deliver('inherited', 1)).toBe('Derived');
  });

  it('hooks reach their group with the event, several listeners each; the failure of one keeps none from being told', async () => {
    const heard: unknown[] = [];
    @Injectable()
    class Ledger {
      @PartitionHandler(group)
      book(): void {}
      @OnPartitionsAssigned(group)
      got(event: PartitionsEvent): void {
        heard.push(['assigned', event]);
        throw new Error('first listener');
      }
      @OnPartitionsRevoked(group)
      async gave(event: PartitionsRevoked): Promise<void> {
        heard.push(['revoked', event.reason]);
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class Watcher {
      @OnPartitionsAssigned({ stream: 'payments', group: 'ledger', connection: 'default' })
      async got(event: PartitionsEvent): Promise<void> {
        heard.push(['watched', event]);
      }
      @PartitionHandler({ stream: 'payments', group: 'other' })
      other(): void {}
    }
    const { engine } = await appOf({ providers: [Ledger, Watcher] });
    const { assigned, revoked, lost } = engine.groupHandlers('payments', 'ledger');
    await expect(assigned?.(told)).rejects.toThrow('first listener');
    expect(heard).toHaveLength(2);
    expect(heard).toEqual(expect.arrayContaining([['assigned', told], ['watched', told]]));
    await revoked?.({ ...told, reason: 'rebalance' });
    expect(heard.at(-1)).toEqual(['revoked', 'rebalance']);
    expect(lost).toBeUndefined();
    expect(engine.groupHandlers('payments', 'other')).toEqual({ message: expect.any(Function) });
  });

  it('a namespace given is that of the options when they are equal: such handlers are of one group', async () => {
    @Injectable()
    class Ledger {
      lost: unknown;
      @PartitionHandler(group)
      book(): void {}
      @OnPartitionsLost({ ...group, namespace: 'shop' })
      gone(event: PartitionsLost): void {
        this.lost = event;
      }
    }
    const { app, engine } = await appOf({ providers: [Ledger] }, new FakeEngine(), { partition: { namespace: 'shop' } });
    await engine.groupHandlers('payments', 'ledger').lost?.({ ...told, reason: 'fenced' });
    expect(app.get(Ledger).lost).toEqual({ ...told, reason: 'fenced' });
  });

  it('with batch, of the decorator or of all consumers, the handler is one of batches', async () => {
    @Injectable()
    class Ledger {
      @PartitionHandler({ stream: 'many', group: 'g', batch: 10 })
      many(data: number[]): number {
        return data.length;
      }
      @PartitionHandler({ stream: 'one', group: 'g' })
      one(): void {}
    }
    const { engine } = await appOf({ providers: [Ledger] });
    expect(Object.keys(engine.groupHandlers('many', 'g'))).toEqual(['batch']);
    expect(Object.keys(engine.groupHandlers('one', 'g'))).toEqual(['message']);
    expect(engine.deliverBatch('many', [1, 2, 3], { ...fakeMessage(1), messages: [] })).toBe(3);
    const all = await appOf({ providers: [Ledger] }, new FakeEngine(), { partition: { batch: 5 } });
    expect(Object.keys(all.engine.groupHandlers('one', 'g'))).toEqual(['batch']);
  });
});

describe('what is refused at start', () => {
  it('names every second handler of a group and every hook without a handler, in one error', async () => {
    @Injectable()
    class A {
      @PartitionHandler(group)
      first(): void {}
      @OnPartitionsRevoked({ stream: 'payments', group: 'leger' })
      misspelt(): void {}
    }
    @Controller()
    class B {
      @PartitionHandler({ ...group, namespace: 'shop', connection: 'default' })
      second(): void {}
      @OnPartitionsLost({ ...group, connection: 'far' })
      elsewhere(): void {}
    }
    const problem = await appOf({ providers: [A], controllers: [B] }, new FakeEngine(), { partition: { namespace: 'shop' } })
      .then(() => undefined, (error: Error) => error.message);
    expect(problem).toContain('B.second: stream "shop:payments" in group "ledger" has a second @PartitionHandler; A.first has the first');
    expect(problem).toContain('A.misspelt: @OnPartitionsRevoked for stream "shop:payments" in group "leger", which no method handles with @PartitionHandler');
    expect(problem).toContain('B.elsewhere: @OnPartitionsLost for stream "shop:payments" in group "ledger" on connection "far", which no method handles');
  });

  it('wrong options of the decorators, with the method, for all of them at once', async () => {
    @Injectable()
    class Ledger {
      @PartitionHandler({ ...group, concurrency: 0, conncurrency: 3 } as never)
      book(): void {}
      @PartitionHandler({ stream: 'pay ments', group: '', connection: 'nowhere' })
      other(): void {}
    }
    const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot()], providers: [Ledger] }).setLogger(false as never).compile();
    const error = await app.init().then(() => undefined, (thrown: Error) => thrown.message);
    for (const part of [/PartitionHandler of Ledger\.book: .*\.concurrency/, /of Ledger\.book: .*conncurrency: is not an option/, /of Ledger\.other: .*\.stream/, /of Ledger\.other: .*\.group/, /of Ledger\.other: .*\.connection/]) {
      expect(error).toMatch(part);
    }
    await app.close().catch(() => undefined);
  });

  it('a decorator on what is no method', () => {
    expect(() => {
      class Wrong {
        @OnPartitionsLost(group)
        get value(): number {
          return 1;
        }
      }
      return Wrong;
    }).toThrow('@OnPartitionsLost belongs on a method, not on value');
  });
});
