import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Log, startChild } from './fixtures/child.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const backoff = { initialMs: 40, factor: 2, maxMs: 1_000, jitter: 0 };

onTopologies(BOTH, 'retry', (world) => {
  it('runs a message again in its place after a growing delay, with the attempt counted', async () => {
    const stream = await world().stream(1);
    const at: number[] = [];
    const runs = new Runs();
    const consumer = await world().consumer(stream, runs.handler((_, n) => {
      at.push(performance.now());
      if (n < 5) throw new RangeError(`failure ${n}`);
    }), { retry: { ...backoff, maxMs: 100 } });
    await world().client.send(stream, { key: 'k', data: 'm' });
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    const delays = [40, 80, 100, 100];
    for (const [i, delay] of delays.entries()) {
      expect(at[i + 1]! - at[i]!).toBeGreaterThanOrEqual(delay - 2);
      expect(at[i + 1]! - at[i]!).toBeLessThan(delay + 2_000);
    }
    const { id, fencingToken: token } = runs.contexts[0]!;
    expect(consumer.all('partition.retried')).toMatchObject(delays.map((delayMs, i) => (
      { stream, group: 'group', partition: 0, token, id, key: 'k', attempt: i + 1, delayMs, error: { name: 'RangeError', message: `failure ${i + 1}` } })));
    expect(runs.contexts.every(({ fencingToken }) => fencingToken === token)).toBe(true);
    expect(runs.overlap).toBe(1);
  });

  it('takes part of the delay by chance', async () => {
    const stream = await world().stream(1);
    const consumer = await world().consumer(stream, (_, { attempt }) => { if (attempt === 1) throw new Error('once'); },
      { concurrency: 50, retry: { initialMs: 100, jitter: 0.5 } });
    await world().client.sendMany(stream, messages(50, 50));
    await caughtUp(world(), stream, 1);
    const delays = consumer.all('partition.retried').map(({ delayMs }) => delayMs);
    expect(delays).toHaveLength(50);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...delays)).toBeLessThanOrEqual(100);
    expect(new Set(delays).size).toBeGreaterThan(10);
  });

  it.each([1, 4])('a key waits for its failed message while other keys go on (concurrency %i)', async (concurrency) => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const done: unknown[] = [];
    await world().consumer(stream, runs.handler(({ data, attempt }) => {
      if (data === 'a1' && attempt < 3) throw new Error('not yet');
      done.push(data);
    }), { concurrency, retry: { ...backoff, initialMs: 150, factor: 1 } });
    await world().client.sendMany(stream, ['a1', 'a2', 'b1', 'a3', 'b2', 'c1'].map((data) => ({ key: data[0]!, data })));
    await caughtUp(world(), stream, 1);
    expect(done.slice(0, 3).sort()).toEqual(['b1', 'b2', 'c1']);
    expect(done.slice(3)).toEqual(['a1', 'a2', 'a3']);
    expect(runs.ofKey('a').map(({ data, attempt }) => `${String(data)} ${attempt}`)).toEqual(['a1 1', 'a1 2', 'a1 3', 'a2 1', 'a3 1']);
    expect(runs.contexts.filter(({ key }) => key !== 'a').every(({ attempt }) => attempt === 1)).toBe(true);
    expect(runs.overlap).toBe(1);
  });

  it('keeps every key in order when everything fails now and then', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const done: Array<[string, number]> = [];
    await world().consumer(stream, runs.handler(({ key, data, attempt }) => {
      const n = Number(String(data).slice(1));
      if (attempt <= n % 3) throw new Error('again');
      done.push([key!, n]);
    }), { concurrency: 4, retry: { ...backoff, initialMs: 2, maxMs: 5 } });
    await world().client.sendMany(stream, messages(400, 20));
    await caughtUp(world(), stream, 4);
    expect(done).toHaveLength(400);
    for (let k = 0; k < 20; k++) expect(done.filter(([key]) => key === `k${k}`).map(([, n]) => n)).toEqual(Array.from({ length: 20 }, (_, i) => k + 20 * i));
    expect(runs.overlap).toBe(1);
    expect(runs.contexts).toHaveLength(400 + 133 + 2 * 133); // n % 3 failures each
  });

  it('messages without a key are retried too, and hold up nobody', async () => {
    const stream = await world().stream(1);
    const done: unknown[] = [];
    await world().consumer(stream, (data, { attempt }) => {
      if (data === 0 && attempt === 1) throw new Error('once');
      done.push(data);
    }, { retry: { ...backoff, initialMs: 100 } });
    await world().client.sendMany(stream, [0, 1, 2, 3].map((data) => ({ data })));
    await caughtUp(world(), stream, 1);
    expect(done).toEqual([1, 2, 3, 0]);
  });

  it('commits what is done around a message that waits for its retry', async () => {
    const stream = await world().stream(1);
    const retry = { ...backoff, initialMs: 60_000, maxMs: 60_000 };
    const first = new Runs();
    const a = await world().consumer(stream, first.handler(({ data }) => { if (data === 'm3') throw new Error('no'); }), { retry });
    await world().client.sendMany(stream, messages(10, 10));
    await a.saw('partition.retried');
    await waitUntil(() => first.contexts.length === 10, { what: 'all ran' });
    await waitUntil(async () => (await groupRow(world(), stream, 0))?.lastDeliveredId === first.contexts[2]!.id, { what: 'the position stands before it' });
    await a.stop();
    // The retry's delay is over with its owner; what was done is not done again.
    const second = new Runs();
    await world().consumer(stream, second.handler(), { retry });
    await caughtUp(world(), stream, 1);
    expect(second.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['m3', 2]]);
  });

  it('counts attempts across owners, killed ones too', async () => {
    const stream = await world().stream(1);
    const retry = { ...backoff, maxAttempts: 3, initialMs: 60_000, maxMs: 60_000 };
    const log = new Log(world());
    const place = await world().client.send(stream, { key: 'k', data: { n: 1, how: 'throw' } });
    await world().client.send(stream, { key: 'k', data: { n: 2 } });
    for (const [i, last] of [false, false, true].entries()) {
      const child = await startChild(world(), log, { stream, tuning: { retry } });
      if (last) await child.waitFor(({ type }) => type === 'partition.deadLettered', 10_000, 'the end of the message');
      else await child.waitFor(({ type }) => type === 'partition.retried', 10_000, 'the failure');
      // Known to the server, for the owner is killed and says nothing more.
      await child.waitFor(({ type }) => type === 'partition.committed', 5_000, 'the commit');
      expect(log.began(1).map(({ attempt }) => attempt)).toEqual([1, 2, 3].slice(0, i + 1));
      if (!last) await child.kill();
    }
    await caughtUp(world(), stream, 1);
    expect(log.lines('effect').map(({ n, attempt }) => [n, attempt])).toEqual([[2, 1]]);
    expect(await world().client.deadLetters({ stream, group: 'group' })).toMatchObject([{ id: place.id, reason: 'max-attempts', attempts: 3, key: 'k' }]);
  });

  it('survives a throw of anything', async () => {
    const stream = await world().stream(1);
    const things: unknown[] = [undefined, null, 'text', 0, { a: 1 }, Object.create(null), Symbol('s'), Promise.reject(new Error('late')).catch(() => 1)];
    const runs = new Runs();
    const consumer = await world().consumer(stream, runs.handler((_, n) => {
      if (n <= things.length) throw things[n - 1];
    }), { retry: { maxAttempts: 100, initialMs: 1, maxMs: 1 } });
    await world().client.send(stream, { key: 'k', data: 1 });
    await caughtUp(world(), stream, 1);
    expect(runs.contexts).toHaveLength(things.length + 1);
    for (const { error } of consumer.all('partition.retried')) expect(error).toBeInstanceOf(Error);
  });
});
