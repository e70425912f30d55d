import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { ODD_RETURNS } from '../support/odd-returns.js';
import type { PartitionContext } from './support/engine.js';
import { gate, messages, Runs, untilAborted } from './support/handlers.js';
import { caughtUp, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

/** `m17` of key `k3`: the numbers of each key in the order they were handled. */
function byKey(contexts: readonly PartitionContext[]): Map<string, number[]> {
  const keys = new Map<string, number[]>();
  for (const { key, data } of contexts) keys.set(key!, [...(keys.get(key!) ?? []), Number(String(data).slice(1))]);
  return keys;
}

onTopologies(BOTH, 'handling', (world) => {
  describe.each([{ concurrency: 1 }, { concurrency: 8 }])('with concurrency $concurrency', ({ concurrency }) => {
    it.each(['sync', 'async'] as const)('handles every message once and each key in the order it was sent (%s handlers)', async (kind) => {
      const stream = await world().stream(6);
      const seen: PartitionContext[] = [];
      const running = new Map<number, number>();
      let most = 0;
      const consumer = await world().consumer(stream, (_, context) => {
        if (kind === 'sync') return void seen.push(context);
        const { partition } = context;
        running.set(partition, (running.get(partition) ?? 0) + 1);
        most = Math.max(most, running.get(partition)!);
        // The earlier of a key takes longer, so that whatever lets the later one begin shows.
        return sleep(seen.length % 3).then(() => {
          seen.push(context);
          running.set(partition, running.get(partition)! - 1);
        });
      }, { concurrency });
      const sent = messages(1_000, 40);
      // Half of it waits when the consumer comes to it, half arrives while it works.
      await world().client.sendMany(stream, sent.slice(0, 500));
      await Promise.all(sent.slice(500).map((message) => world().client.send(stream, message)));
      await waitUntil(() => seen.length >= 1_000, { what: 'all are handled' });
      await caughtUp(world(), stream, 6);
      expect(seen).toHaveLength(1_000);
      const keys = byKey(seen);
      expect(keys.size).toBe(40);
      for (const [key, numbers] of keys) expect(numbers, key).toEqual(Array.from({ length: 25 }, (_, i) => Number(key.slice(1)) + 40 * i));
      expect(seen.every(({ attempt }) => attempt === 1)).toBe(true);
      if (kind === 'async') {
        expect(most).toBeLessThanOrEqual(concurrency);
        if (concurrency > 1) expect(most).toBeGreaterThan(1);
      }
      expect(consumer.errors).toEqual([]);
    });
  });

  it('runs as many different keys side by side as the option says, and no key twice', async () => {
    const stream = await world().stream(1);
    const finish = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => finish.opened), { concurrency: 3 });
    await world().client.sendMany(stream, ['a', 'a', 'b', 'b', 'c', 'd', 'e'].map((key, i) => ({ key, data: i })));
    await waitUntil(() => runs.contexts.length === 3, { what: 'three run' });
    // Long enough for a fourth to begin, if anything let it.
    await world().client.send(stream, { key: 'f', data: 7 });
    await waitUntil(async () => (await world().client.lag({ stream, group: 'group' }))[0]!.size === 8, { what: 'all are there' });
    expect(runs.contexts.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    finish.open();
    await caughtUp(world(), stream, 1);
    expect(runs.overlap).toBe(1);
    expect(runs.distinct).toBe(8);
    expect(runs.contexts).toHaveLength(8);
  });

  it('a slow key holds up only itself with concurrency 2, and its partition with concurrency 1', async () => {
    for (const concurrency of [2, 1]) {
      const stream = await world().stream(2);
      const finish = gate();
      const runs = new Runs();
      await world().consumer(stream, runs.handler(({ data }) => (data === 'slow' ? finish.opened : undefined)), { concurrency });
      const send = (key: string, partition: number, data: string): Promise<unknown> => world().client.send(stream, { key, partition, data });
      await send('s', 0, 'slow');
      await waitUntil(() => runs.contexts.length === 1, { what: 'the slow one runs' });
      for (let i = 0; i < 20; i++) await Promise.all([send('s', 0, `s${i}`), send(`o${i % 4}`, 0, `o${i}`), send('p', 1, `p${i}`)]);
      await waitUntil(() => runs.ofPartition(1).length === 20, { what: 'the other partition goes on' });
      if (concurrency === 2) await waitUntil(() => runs.ofPartition(0).length === 21, { what: 'the other keys go on' });
      expect(runs.ofPartition(0)).toHaveLength(concurrency === 2 ? 21 : 1);
      expect(runs.ofKey('s')).toHaveLength(1);
      finish.open();
      await caughtUp(world(), stream, 2);
      expect(runs.ofKey('s').map(({ data }) => data)).toEqual(['slow', ...Array.from({ length: 20 }, (_, i) => `s${i}`)]);
      expect(runs.contexts).toHaveLength(61);
    }
  });

  it('other keys run far ahead of a stuck one, further than is read at once', async () => {
    const stream = await world().stream(1);
    const finish = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(({ key }) => (key === 'stuck' ? finish.opened : undefined)), { concurrency: 4, prefetch: 16 });
    await world().client.send(stream, { key: 'stuck', data: 'first' });
    await world().client.sendMany(stream, messages(100, 5));
    await waitUntil(() => runs.contexts.length === 101, { what: 'a hundred others are handled' });
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe('0-0');
    finish.open();
    await caughtUp(world(), stream, 1);
    expect(runs.contexts).toHaveLength(101);
  });

  it('reads more partitions than one blocking read takes, from one owner to the next', async () => {
    const stream = await world().stream(200);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(200);
    const every = (n: number): Array<{ partition: number; key: string; data: number }> => Array.from({ length: 200 }, (_, partition) => ({ partition, key: 'k', data: n }));
    await world().client.sendMany(stream, every(1));
    await waitUntil(() => runs.contexts.length === 200, { what: 'each has its first' });
    // One of each alone, so that none is read because of its neighbour.
    for (const partition of [0, 63, 64, 127, 128, 199]) {
      await world().client.send(stream, { partition, key: 'k', data: 2 });
      await waitUntil(() => runs.ofPartition(partition).length === 2, { what: `partition ${partition} has its second` });
    }
    const b = await world().consumer(stream, runs.handler());
    await Promise.all([a.owns(100), b.owns(100)]);
    await world().client.sendMany(stream, every(3));
    await waitUntil(() => runs.contexts.length === 406, { what: 'each has its next' });
    await a.stop();
    await b.owns(200);
    await world().client.sendMany(stream, every(4));
    await waitUntil(() => runs.contexts.length >= 606, { what: 'each has its last' });
    await b.stop();
    expect(runs.contexts).toHaveLength(606);
    expect(runs.distinct).toBe(606);
  });

  it('reads messages of every size whole', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    // What is lost runs again, and megabytes hold up a busy machine: it is not about that.
    await world().consumer(stream, runs.handler(), { prefetch: 8, engine: { session: { ttlMs: 8_000 } } });
    // Around the sizes in which sockets and parsers cut, with characters of one to four bytes.
    const texts = [1, 100, 16_380, 16_384, 32_767, 65_530, 65_536, 65_540, 131_072, 1_000_000].flatMap((size) => ['x', 'ü', '€', '😀'].map((letter) => letter.repeat(size / letter.length)));
    const sent = await world().client.sendMany(stream, texts.map((data, i) => ({ key: `k${i % 7}`, data, headers: { n: String(i) } })));
    await caughtUp(world(), stream, 3);
    expect(runs.contexts).toHaveLength(texts.length);
    for (const [i, { partition, id }] of sent.entries()) {
      const context = runs.contexts.find((candidate) => candidate.partition === partition && candidate.id === id)!;
      expect(context.data === texts[i], `message ${i}`).toBe(true);
      expect(context.headers['n']).toBe(String(i));
    }
  });

  it('messages without a key are spread over the partitions and run side by side', async () => {
    const stream = await world().stream(3);
    const finish = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => finish.opened), { concurrency: 4 });
    const sent = await world().client.sendMany(stream, Array.from({ length: 60 }, (_, data) => ({ data })));
    for (const partition of [0, 1, 2]) expect(sent.filter((place) => place.partition === partition)).toHaveLength(20);
    await waitUntil(() => runs.contexts.length === 12, { what: 'four of each partition run' });
    finish.open();
    await caughtUp(world(), stream, 3);
    expect(runs.distinct).toBe(60);
    expect(runs.contexts).toHaveLength(60);
    expect(runs.contexts.every(({ key }) => key === undefined)).toBe(true);
  });

  it('tells the handler what it has', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const consumer = await world().consumer(stream, runs.handler());
    const bodies: unknown[] = [null, 0, '', 'ü€😀', [1, { a: [] }], { __proto__: null, key: 'k' }, false];
    for (const [i, data] of bodies.entries()) {
      const place = await world().client.send(stream, { key: i === 0 ? '' : 'ключ', data, headers: { trace: 'abc', ключ: 'ü' } });
      await waitUntil(() => runs.contexts.length === i + 1, { what: `message ${i} is handled` });
      const context = runs.contexts[i]!;
      expect(context).toMatchObject({ stream, group: 'group', partition: place.partition, id: place.id, key: i === 0 ? '' : 'ключ', attempt: 1, lag: 0 });
      expect(context.data).toEqual(data === undefined ? null : data);
      expect({ ...context.headers }).toEqual({ trace: 'abc', ключ: 'ü' });
      expect(context.fencingToken).toBe(consumer.inner.owned().find(({ partition }) => partition === place.partition)!.fencingToken);
      expect(context.signal.aborted).toBe(false);
    }
    await world().client.send(stream, { data: undefined });
    await waitUntil(() => runs.contexts.length === bodies.length + 1, { what: 'the last one is handled' });
    expect(runs.contexts.at(-1)).toMatchObject({ data: null, headers: {} });
  });

  it('tells how far behind it is', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, messages(50, 5));
    const lags: number[] = [];
    await world().consumer(stream, (_, { lag }) => void lags.push(lag), { prefetch: 10 });
    await caughtUp(world(), stream, 1);
    expect(lags).toHaveLength(50);
    expect(lags[0]).toBe(49);
    // As known at the last commit: never less than the truth, and never older than what is read ahead.
    for (const [i, lag] of lags.entries()) expect(lag - (49 - i), `message ${i}`).toSatisfy((off: number) => off >= 0 && off < 10);
  });

  it('several groups are independent of each other', async () => {
    const stream = await world().stream(4);
    const [quick, slow, broken] = [new Runs(), new Runs(), new Runs()];
    await world().consumer(stream, quick.handler(), { group: 'quick' });
    await world().consumer(stream, slow.handler(untilAborted), { group: 'slow' });
    const failing = await world().consumer(stream, broken.handler(() => { throw new Error('no'); }), { group: 'broken', retry: { maxAttempts: 2, initialMs: 1 } });
    await Promise.all(['quick', 'slow', 'broken'].map((group) => waitUntil(async () => (await world().client.lag({ stream, group })).every(({ position }) => position), { what: `${group} is there` })));
    await world().client.sendMany(stream, messages(80, 8));
    await caughtUp(world(), stream, 4, { group: 'quick' });
    await caughtUp(world(), stream, 4, { group: 'broken' });
    expect(quick.contexts).toHaveLength(80);
    expect(quick.contexts.every(({ attempt, group }) => attempt === 1 && group === 'quick')).toBe(true);
    expect(failing.all('partition.deadLettered')).toHaveLength(80);
    expect(await world().client.deadLetters({ stream, group: 'quick' })).toEqual([]);
    expect(slow.contexts.every(({ group }) => group === 'slow')).toBe(true);
    const used = new Set(quick.contexts.map(({ partition }) => partition));
    expect(slow.contexts).toHaveLength(used.size);
    for (const partition of used) expect((await groupRow(world(), stream, partition, 'slow'))?.lastDeliveredId).toBe('0-0');
    // What the slow one has not read is there for it.
    expect((await world().client.lag({ stream, group: 'slow' })).reduce((sum, { lag }) => sum + lag, 0)).toBe(80);
  });

  it('a new group begins with the oldest kept message', async () => {
    const stream = await world().stream({ partitions: 3, retention: { keepMs: 60_000 } });
    await world().client.sendMany(stream, messages(30, 6));
    const [first, second] = [new Runs(), new Runs()];
    await world().consumer(stream, first.handler(), { group: 'first' });
    await caughtUp(world(), stream, 3, { group: 'first' });
    await world().consumer(stream, second.handler(), { group: 'second' });
    await caughtUp(world(), stream, 3, { group: 'second' });
    expect([...second.ids].sort()).toEqual([...first.ids].sort());
  });

  it.each(ODD_RETURNS)('what a handler returns that %s has failed; its partition goes on', async (_, odd) => {
    const stream = await world().stream({ partitions: 1 });
    const fine: unknown[] = [];
    const consumer = await world().consumer(stream, (data) => (data === 'odd' ? odd() : void fine.push(data)), { retry: { maxAttempts: 1 } });
    await world().client.sendMany(stream, [{ data: 'odd' }, { data: 'fine' }]);
    await caughtUp(world(), stream, 1);
    expect(fine).toEqual(['fine']);
    expect(consumer.all('partition.deadLettered').map(({ error }) => error?.message)).toEqual(['odd']);
  });

  it('an ack that comes too late is refused, and ends no process that does not wait for it', async () => {
    const stream = await world().stream({ partitions: 1 });
    const runs = new Runs();
    const unheard: unknown[] = [];
    const hear = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', hear);
    try {
      const consumer = await world().consumer(stream, runs.handler(), { ack: 'manual' });
      await world().client.send(stream, { data: 'kept' });
      await waitUntil(() => runs.contexts.length === 1, { what: 'it is handed out' });
      await consumer.stop();
      const context = runs.contexts[0]!;
      void context.ack();
      await expect(context.ack()).rejects.toMatchObject({ code: 'FENCED' });
      await new Promise((resolve) => setImmediate(resolve));
      expect(unheard).toEqual([]);
    } finally {
      process.off('unhandledRejection', hear);
    }
  });
});
