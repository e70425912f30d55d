import { Controller } from '@nestjs/common';
import { type ClientProxy, Ctx, EventPattern, Payload, RpcException } from '@nestjs/microservices';
import { RedisStreamsRecord, streamOptions } from 'nestjs-redis-streams';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwError } from 'rxjs';
import { afterEach, beforeEach, expect } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { one, told } from './support/outcome.js';
import { differs, overTransports } from './support/suite.js';

const QUIET_MS = 300;
let seen: unknown[] = [];
const count = async (n: number): Promise<void> => void (await waitUntil(() => seen.length >= n, { what: `${n} were handled` }));
/** Nothing more comes. */
const quiet = async (): Promise<void> => {
  await sleep(QUIET_MS);
};

@Controller()
class Plain {
  @EventPattern('plain')
  plain(data: unknown): void {
    seen.push(data);
  }
}
@Controller()
class Failing {
  @EventPattern('failing')
  failing(data: unknown): unknown {
    seen.push(data);
    if (seen.length === 1) throw new Error('thrown');
    if (seen.length === 2) return throwError(() => new RpcException('of its Observable'));
    return undefined;
  }
  @EventPattern<string>('always failing')
  always(data: unknown): never {
    seen.push(data);
    throw new Error('always');
  }
}
@Controller()
class Partly {
  @EventPattern<string>('shared')
  good(): void {
    seen.push('good');
  }
  @EventPattern<string>('shared')
  async bad(): Promise<void> {
    seen.push('bad');
    if (seen.filter((each) => each === 'bad').length === 1) throw new Error('once');
  }
}
@Controller()
class Ordered {
  @EventPattern('ordered', streamOptions({ partitions: 4 }))
  async ordered({ key, n, ms }: { key: string; n: number; ms: number }): Promise<void> {
    const mine = seen;
    mine.push(['begin', key, n]);
    await sleep(ms);
    mine.push(['end', key, n]);
  }
}
@Controller()
class Hanging {
  @EventPattern('hanging', streamOptions({ maxProcessingMs: 150, retry: { initialMs: 10 } }))
  async hanging(@Payload() data: unknown): Promise<void> {
    seen.push(data);
    if (seen.length === 1) await new Promise(() => undefined);
  }
}
@Controller()
class Wild {
  @EventPattern<string>('order.*')
  wild(@Payload() data: unknown, @Ctx() context: { getChannel(): string }): void {
    seen.push([data, context.getChannel()]);
  }
}

overTransports('what differs of events', (transport, name) => {
  let client: ClientProxy;
  beforeEach(() => {
    seen = [];
    client = transport().client();
  });
  afterEach(() => transport().closeAll());
  const emit = (pattern: string, data: unknown): Promise<unknown> => one(client.emit(pattern, data));

  differs('event that nobody handles yet', name, {
    streams: async () => {
      await transport().server(Failing);
      await emit('plain', 'early');
      await transport().server(Plain);
      await count(1);
      expect(seen).toEqual(['early']);
    },
    nest: async () => {
      const unaware = await transport().server(Failing);
      await emit('plain', 'early');
      await quiet();
      await unaware.close();
      await transport().server(Plain);
      await client.close();
      await emit('plain', 'later');
      await count(1);
      expect(seen).toEqual(['later']);
    },
  });
  const away = async (emitted: () => Promise<unknown>): Promise<unknown> => {
    const before = await transport().server(Plain);
    await emit('plain', 'before');
    await count(1);
    await before.close();
    await client.close();
    const outcome = await emitted();
    await transport().server(Plain);
    // Nest's TCP client tells of a failed connection once more.
    await waitUntil(() => emit('plain', 'after').then(() => true), { what: 'it can be sent to again' });
    await waitUntil(() => seen.includes('after'), { what: 'the last was handled' });
    return outcome;
  };
  differs('event with no server up', name, {
    streams: async () => {
      expect(await away(() => told(client.emit('plain', 'meanwhile')))).toEqual([undefined, 'end']);
      expect(seen).toEqual(['before', 'meanwhile', 'after']);
    },
    redis: async () => {
      expect(await away(() => told(client.emit('plain', 'meanwhile')))).toEqual([undefined, 'end']);
      expect(seen).toEqual(['before', 'after']);
    },
    tcp: async () => {
      expect(await away(() => told(client.emit('plain', 'meanwhile')))).toEqual([{ error: expect.stringContaining('ECONNREFUSED') as string }]);
      expect(seen).toEqual(['before', 'after']);
    },
  });
  differs('event handler that fails', name, {
    streams: async () => {
      await transport().server(Failing);
      await emit('failing', 1);
      await count(3);
      await quiet();
      expect(seen).toEqual([1, 1, 1]);
      await emit('always failing', 2);
      await count(6);
      await quiet();
      expect(seen).toEqual([1, 1, 1, 2, 2, 2]);
    },
    nest: async () => {
      await transport().server(Failing);
      await emit('failing', 1);
      await count(1);
      await emit('failing', 2);
      await count(2);
      await quiet();
      expect(seen).toEqual([1, 2]);
    },
  });
  differs('one of several handlers of an event fails', name, {
    streams: async () => {
      await transport().server(Partly);
      await emit('shared', 1);
      await count(3);
      await quiet();
      expect(seen).toEqual(['good', 'bad', 'bad']);
    },
    nest: async () => {
      await transport().server(Partly);
      await emit('shared', 1);
      await count(2);
      await quiet();
      expect(seen).toEqual(['good', 'bad']);
    },
  });
  differs('several instances, events', name, {
    streams: async () => {
      await Promise.all([transport().server(Plain), transport().server(Plain), transport().server(Plain)]);
      for (let i = 0; i < 100; i++) await emit('plain', i);
      await count(100);
      await quiet();
      expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 100 }, (_, i) => i));
    },
    redis: async () => {
      await Promise.all([transport().server(Plain), transport().server(Plain), transport().server(Plain)]);
      for (let i = 0; i < 100; i++) await emit('plain', i);
      await count(300);
      await quiet();
      expect(seen).toHaveLength(300);
    },
    tcp: async () => {
      await transport().server(Plain);
      await expect(transport().server(Plain)).rejects.toThrow('EADDRINUSE');
    },
  });
  const twoServices = async (): Promise<void> => {
    await Promise.all(['billing', 'mailing'].map((service) => transport().server(Plain, { service })));
    for (let i = 0; i < 20; i++) await emit('plain', i);
    await count(40);
    await quiet();
    expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 40 }, (_, i) => i >> 1));
  };
  differs('several services, events', name, {
    streams: twoServices,
    redis: twoServices,
    tcp: async () => {
      await transport().server(Plain, { service: 'billing' });
      await expect(transport().server(Plain, { service: 'mailing' })).rejects.toThrow('EADDRINUSE');
    },
  });
  /** The earlier ones take longer. */
  const emitOrdered = async (): Promise<void> => {
    for (let n = 0; n < 8; n++) {
      for (const key of ['a', 'b', 'c']) {
        const data = { key, n, ms: 40 - n * 5 };
        await emit('ordered', name === 'streams' ? new RedisStreamsRecord(data, { key }) : data);
      }
    }
    await count(48);
  };
  const inOrder = (): boolean => ['a', 'b', 'c'].every((key) => {
    const steps = (seen as Array<[string, string, number]>).filter((step) => step[1] === key);
    return steps.every(([what, , n], i) => n === i >> 1 && what === (i % 2 === 0 ? 'begin' : 'end'));
  });
  differs('order of one key', name, {
    streams: async () => {
      await Promise.all([transport().server(Ordered), transport().server(Ordered)]);
      await emitOrdered();
      expect(inOrder()).toBe(true);
    },
    nest: async () => {
      await transport().server(Ordered);
      await emitOrdered();
      expect(inOrder()).toBe(false);
    },
  });
  differs('event handler that never ends', name, {
    streams: async () => {
      await transport().server(Hanging);
      await transport().server(Hanging);
      await emit('hanging', 1);
      await count(2);
      expect(seen).toEqual([1, 1]);
    },
    nest: async () => {
      await transport().server(Hanging);
      await emit('hanging', 1);
      await count(1);
      await quiet();
      expect(seen).toEqual([1]);
    },
  });
  differs('channels with wildcards', name, {
    streams: async () => {
      await transport().server([Wild, Plain], { wildcards: true });
      await emit('order.paid', 1);
      await emit('plain', 'after');
      await quiet();
      expect(seen).toEqual(['after']);
    },
    redis: async () => {
      await transport().server(Wild, { wildcards: true });
      await emit('order.paid', 1);
      await count(1);
      expect(seen).toEqual([[1, 'order.paid']]);
    },
    tcp: async () => {
      await transport().server([Wild, Plain], { wildcards: true });
      await emit('order.paid', 1);
      await emit('plain', 'after');
      await quiet();
      expect(seen).toEqual(['after']);
    },
  });
  differs('emit that is subscribed to after it was sent', name, {
    streams: async () => {
      await transport().server(Plain);
      const sent = client.emit('plain', 1);
      await count(1);
      await quiet();
      expect(await told(sent)).toEqual([undefined, 'end']);
    },
    nest: async () => {
      await transport().server(Plain);
      const sent = client.emit('plain', 1);
      await count(1);
      await quiet();
      expect(await told(sent)).toEqual(['end']);
    },
  });
  const closeAtOnce = async (): Promise<unknown[]> => {
    await transport().server(Plain);
    await emit('plain', 'connected');
    const outcomes = Promise.all(Array.from({ length: 50 }, (_, i) => told(client.emit('plain', i))));
    await Promise.allSettled([client.close()]); // of Nest's Redis client it fails then
    return outcomes;
  };
  differs('client closes right after emits', name, {
    streams: async () => {
      expect(await closeAtOnce()).toEqual(Array.from({ length: 50 }, () => [undefined, 'end']));
      await count(51);
    },
    nest: async () => {
      const outcomes = await closeAtOnce();
      await quiet();
      expect(outcomes).toEqual(Array.from({ length: 50 }, () => [{ error: expect.any(String) as string }]));
      expect(seen).toEqual(['connected']);
    },
  });
  const publishBroken = async (): Promise<{ emitted: number; refused: number; lost: number }> => {
    await transport().server(Plain);
    await emit('plain', 'connected');
    let n = 0;
    const outcomes: Promise<unknown[]>[] = [];
    const publish = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        outcomes.push(told(client.emit('plain', n++)));
        await sleep(2);
      }
    };
    await publish(50);
    await transport().breakConnections(() => publish(50));
    await publish(50);
    const sent = await Promise.all(outcomes);
    const good = sent.flatMap((outcome, i) => (outcome.at(-1) === 'end' ? [i] : []));
    await waitUntil(async () => {
      await emit('plain', 'last');
      return seen.includes('last');
    }, { what: 'events come again', intervalMs: 100 });
    await quiet();
    return { emitted: n, refused: n - good.length, lost: good.filter((i) => !seen.includes(i)).length };
  };
  differs('connections break while events are emitted', name, {
    streams: async () => expect(await publishBroken()).toEqual({ emitted: 150, refused: 0, lost: 0 }),
    nest: async () => {
      const { refused, lost } = await publishBroken();
      expect(refused + lost).toBeGreaterThan(0);
    },
  });
});
