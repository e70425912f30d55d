import { describe, expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { LeaseAbortedError, type StreamEntry, type StreamLease } from './support/engine.js';
import { gate, Runs } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf, xadd } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const fill = async (world: World, stream: string, from: number, to: number): Promise<void> => {
  for (let i = from; i <= to; i++) await world.cli(['XADD', stream, `${i}-0`, 'n', i, 'body', `entry ${i}`]);
};
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
let streams = 0;
const name = (): string => `data-${++streams}-${process.pid}`;

onTopologies(BOTH, 'entries', (world) => {
  /** Runs `read` as the handler of one stream and answers with what it returned. */
  async function reading<T>(stream: string, read: (lease: StreamLease) => Promise<T>): Promise<T> {
    const service = world().service();
    const results: T[] = [];
    const failures: unknown[] = [];
    const a = await world().consumer(service, async (lease) => {
      try {
        results.push(await read(lease));
      } catch (error) {
        failures.push(error);
      }
    });
    await a.leases.announce(service, stream);
    await waitUntil(() => results.length + failures.length > 0, { what: 'the handler has read' });
    if (failures.length > 0) throw failures[0];
    return results[0] as T;
  }
  async function collect(iterable: AsyncIterable<StreamEntry>): Promise<number[]> {
    const seen: number[] = [];
    for await (const { fields } of iterable) seen.push(Number(fields['n']));
    return seen;
  }

  it('yields everything in order, over many batches, and ends when idle', async () => {
    const stream = name();
    await fill(world(), stream, 1, 57);
    expect(await reading(stream, (lease) => collect(lease.entries({ batch: 10, idleMs: 0 })))).toEqual(range(1, 57));
  });

  it('yields nothing of a stream that does not exist', async () => {
    expect(await reading(name(), (lease) => collect(lease.entries({ idleMs: 0 })))).toEqual([]);
  });

  it('starts after the id asked for', async () => {
    const stream = name();
    await fill(world(), stream, 1, 9);
    expect(await reading(stream, (lease) => collect(lease.entries({ after: '6-0', idleMs: 0 })))).toEqual([7, 8, 9]);
  });

  it('goes on from the checkpoint within one lease', async () => {
    const stream = name();
    await fill(world(), stream, 1, 9);
    expect(await reading(stream, async (lease) => {
      await lease.checkpoint('4-0');
      return collect(lease.entries({ idleMs: 0 }));
    })).toEqual([5, 6, 7, 8, 9]);
  });

  it('fields may have any name', async () => {
    const stream = name();
    await world().cli(['XADD', stream, '1-0', '__proto__', 'a', 'constructor', 'b', 'toString', 'c', '', 'd']);
    const [entry] = await reading(stream, async (lease) => {
      const all: StreamEntry[] = [];
      for await (const one of lease.entries({ idleMs: 0 })) all.push(one);
      return all;
    });
    expect(Object.keys(entry!.fields)).toEqual(['__proto__', 'constructor', 'toString', '']);
    expect(entry!.fields['__proto__']).toBe('a');
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  it('waits for later entries and sees each soon after it was written', async () => {
    const stream = name();
    const latencies: number[] = [];
    const ready = gate();
    let writtenAt = 0;
    const done = reading(stream, async (lease) => {
      ready.open();
      for await (const { fields } of lease.entries()) {
        latencies.push(performance.now() - writtenAt);
        if (fields['n'] === '10') return;
      }
    });
    await ready.opened;
    for (let i = 1; i <= 10; i++) {
      await waitUntil(() => latencies.length === i - 1, { what: `entry ${i - 1} was seen` });
      writtenAt = performance.now();
      await world().cli(['XADD', stream, `${i}-0`, 'n', i]);
    }
    await done;
    const median = [...latencies].sort((x, y) => x - y)[5]!;
    expect(median).toBeLessThan(500); // 1 to 3 on a quiet machine
  });

  it('idleMs counts from the last entry: what comes within it is still read', async () => {
    const stream = name();
    await fill(world(), stream, 1, 2);
    let seen = 0;
    const all = reading(stream, async (lease) => {
      const numbers: number[] = [];
      for await (const { fields } of lease.entries({ idleMs: 3_000 })) {
        numbers.push(Number(fields['n']));
        seen++;
      }
      return numbers;
    });
    await waitUntil(() => seen === 2, { what: 'the first two are read' });
    // Long after the first empty answer, well within idleMs.
    await new Promise((resolve) => setTimeout(resolve, 700));
    const addedAt = performance.now();
    await fill(world(), stream, 3, 3);
    await waitUntil(() => seen === 3, { what: 'the third is read' });
    expect(performance.now() - addedAt).toBeLessThan(2_000);
    expect(await all).toEqual([1, 2, 3]);
  });

  it('ends the loop with the abort when ownership ends, also between two entries of one batch', async () => {
    const stream = name();
    await fill(world(), stream, 1, 10);
    const service = world().service();
    const seen: number[] = [];
    let failure: unknown;
    const a = await world().consumer(service, async (lease) => {
      try {
        for await (const { fields } of lease.entries()) {
          seen.push(Number(fields['n']));
          if (seen.length === 3) await lease.release();
        }
      } catch (error) {
        failure = error;
      }
      if (failure === undefined) await lease.done();
    }, { settle: 'manual' });
    await a.leases.announce(service, stream);
    await waitUntil(() => failure !== undefined, { what: 'the loop has ended' });
    expect(seen.slice(0, 3)).toEqual([1, 2, 3]);
    expect(failure).toBeInstanceOf(LeaseAbortedError);
    expect(failure).toMatchObject({ reason: 'released' });
  });

  it('wakes a loop that waits for entries when the stream is done', async () => {
    const stream = name();
    const result = await reading(stream, async (lease) => {
      const loop = collect(lease.entries());
      await lease.done();
      return loop;
    });
    expect(result).toEqual([]);
  });

  it('resumes from the checkpoint of a dead owner: nothing skipped, nothing before it seen again', async () => {
    const stream = name();
    await fill(world(), stream, 1, 10);
    const service = world().service();
    const { join, acquire, store } = internals(world(), service);
    await join('dead:1', 250);
    await xadd(world(), service, stream);
    const granted = await acquire('dead:1');
    if (granted.status !== 'ok') throw new Error('no session');
    await store.settle('dead:1', 1, [{ operation: 'checkpoint', stream, token: granted.grants[0]!.token, a: '4-0', b: '' }]);
    const runs = new Runs();
    const seen: number[] = [];
    await world().consumer(service, runs.handler(async (lease) => { seen.push(...await collect(lease.entries({ idleMs: 0 }))); }));
    await allDone(world(), service);
    expect(seen).toEqual(range(5, 10));
    expect(runs.leases[0]).toMatchObject({ recovered: true, previousOwner: 'dead:1' });
  });

  it('reads far more than 64 streams at once, each in order and soon', async () => {
    const service = world().service();
    const count = 150;
    const prefix = name();
    const seen = new Map<string, number[]>();
    const a = await world().consumer(service, async (lease) => {
      const mine: number[] = [];
      seen.set(lease.stream, mine);
      for await (const { fields } of lease.entries()) {
        mine.push(Number(fields['n']));
        if (mine.length === 5) return;
      }
    });
    await a.leases.announceMany(service, range(1, count).map((i) => ({ stream: `${prefix}-${i}` })));
    await waitUntil(() => seen.size === count, { what: 'all are owned' });
    const startedAt = performance.now();
    for (let n = 1; n <= 5; n++) {
      await Promise.all(range(1, count).map((i) => world().cli(['XADD', `${prefix}-${i}`, `${n}-0`, 'n', n])));
    }
    await allDone(world(), service, 15_000);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    for (const numbers of seen.values()) expect(numbers).toEqual([1, 2, 3, 4, 5]);
  });

  it('a key of another type fails the reader of it, and nobody else', async () => {
    const service = world().service();
    const good = name();
    const bad = name();
    await world().cli(['SET', bad, 'not a stream']);
    const failures: Error[] = [];
    const seen: number[] = [];
    const ready = gate();
    const a = await world().consumer(service, async (lease) => {
      if (lease.stream === bad) {
        await ready.opened;
        await collect(lease.entries()).catch((error: Error) => failures.push(error));
        return;
      }
      ready.open();
      for await (const { fields } of lease.entries()) {
        seen.push(Number(fields['n']));
        if (seen.length === 3) return;
      }
    });
    await a.leases.announceMany(service, [{ stream: good }, { stream: bad }]);
    await waitUntil(() => failures.length === 1, { what: 'the reader of the wrong type is told' });
    expect(failures[0]!.message).toMatch(/WRONGTYPE/);
    await fill(world(), good, 1, 3);
    await allDone(world(), service);
    expect(seen).toEqual([1, 2, 3]);
    expect(await world().cli(['EXISTS', keysOf(service).dead])).toBe(0);
  });
});

describe('entries while Redis cannot be reached', () => {
  onTopologies(['standalone'], 'an outage is not the end of a stream', (world) => {
    it.each([0, 200])('idleMs %i ends only on an answer', async (idleMs) => {
      const stream = name();
      await fill(world(), stream, 1, 3);
      const service = world().service();
      const { topology } = world();
      if (topology.kind !== 'standalone') return;
      const proxy = await startProxy(topology.server.port);
      world().onEnd(() => proxy.stop());
      const outage = gate();
      const seen: number[] = [];
      const a = await world().consumer(service, async (lease) => {
        await outage.opened;
        for await (const { fields } of lease.entries({ idleMs })) seen.push(Number(fields['n']));
      }, { engine: { connection: { url: proxy.url }, session: { ttlMs: 10_000 }, commandTimeoutMs: 300 } });
      await a.leases.announce(service, stream);
      await a.saw('lease.assigned');
      proxy.blackhole(true);
      outage.open();
      await a.saw('connection.replaced'); // a read has met the outage
      proxy.blackhole(false);
      await allDone(world(), service);
      expect(seen).toEqual([1, 2, 3]);
      expect(a.all('lease.completed')).toHaveLength(1);
    });
  });
});
