import { RetryException } from 'nestjs-redis-streams';
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Log, startChild } from './fixtures/child.js';
import type { Consumer } from './support/consumer.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, groupRow, keysOf } from './support/keys.js';
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
    const retry = { ...backoff, initialMs: 3_000, maxMs: 3_000 };
    const first = new Runs();
    const a = await world().consumer(stream, first.handler(({ data }) => { if (data === 'm3') throw new Error('no'); }), { retry });
    await world().client.sendMany(stream, messages(10, 10));
    await a.saw('partition.retried');
    await waitUntil(() => first.contexts.length === 10, { what: 'all ran' });
    await waitUntil(async () => (await groupRow(world(), stream, 0))?.lastDeliveredId === first.contexts[2]!.id, { what: 'the position stands before it' });
    await a.stop();
    // What was done is not done again.
    const second = new Runs();
    await world().consumer(stream, second.handler(), { retry });
    await caughtUp(world(), stream, 1);
    expect(second.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['m3', 2]]);
  });

  it('counts attempts across owners, killed ones too', async () => {
    const stream = await world().stream(1);
    const retry = { ...backoff, maxAttempts: 3, initialMs: 500, maxMs: 500 };
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

  /** Hands the partition on to one new owner after the other until the end; answers when its message's attempts began. */
  async function handedOn(options: { retry: object; attempts: number; body?: () => never; batch?: boolean }): Promise<{ at: number[]; seen: number[]; owners: number; late: number[] }> {
    const stream = await world().stream(1);
    const [at, seen, late]: number[][] = [[], [], []];
    const handle = (n: number, attempt: number): void => {
      if (n === 2) return void late!.push(performance.now());
      at!.push(performance.now());
      seen!.push(attempt);
      if (attempt < options.attempts) (options.body ?? (() => { throw new Error('away'); }))();
    };
    const start = (): Promise<Consumer> => world().consumer(stream, options.batch
      ? { batch: (_, { messages: list }) => { for (const { data, attempt } of list) handle(data as number, attempt); } }
      : { message: (data, { attempt }) => handle(data as number, attempt) }, { retry: options.retry });
    let owner = await start();
    for (const n of [1, 2]) await world().client.send(stream, { key: 'k', data: n });
    await waitUntil(() => at!.length > 0, { what: 'the first attempt' });
    let owners = 1;
    while (at!.length < options.attempts) {
      const next = await start();
      await owner.stop();
      await next.owns(1);
      owner = next;
      owners++;
    }
    await caughtUp(world(), stream, 1);
    return { at: at!, seen: seen!, owners, late: late! };
  }

  it.each([['messages', false], ['batches', true]])('a delay goes on where it was when the partition moves, again and again (%s)', async (_, batch) => {
    const { at, seen, owners, late } = await handedOn({ attempts: 3, batch, retry: { ...backoff, maxAttempts: 3, initialMs: 1_000, maxMs: 2_000 } });
    expect(seen).toEqual([1, 2, 3]);
    expect(owners).toBeGreaterThan(4);
    for (const [i, delay] of [1_000, 2_000].entries()) {
      expect(at[i + 1]! - at[i]!).toBeGreaterThan(delay - 50); // two clocks, in whole milliseconds
      expect(at[i + 1]! - at[i]!).toBeLessThan(delay + 900);
    }
    // Its key has waited for it all the time.
    expect(late[0]).toBeGreaterThan(at[2]!);
  });

  it('and so does one that the handler has asked for', async () => {
    const { at, seen } = await handedOn({ attempts: 2, body: () => { throw new RetryException('not now', { delayMs: 2_500 }); }, retry: { ...backoff, initialMs: 1, maxMs: 1 } });
    expect(seen).toEqual([1, 2]);
    expect(at[1]! - at[0]!).toBeGreaterThan(2_450);
    expect(at[1]! - at[0]!).toBeLessThan(3_400);
  });

  it('a delay goes on while nobody is there, and after an owner that was killed; others do not wait for it', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    const retry = { ...backoff, initialMs: 4_000, maxMs: 4_000 };
    await world().client.send(stream, { key: 'k', data: { n: 1, how: 'throw' } });
    const child = await startChild(world(), log, { stream, tuning: { retry } });
    await child.waitFor(({ type }) => type === 'partition.retried', 10_000, 'the failure');
    const failedAt = performance.now();
    await child.waitFor(({ type }) => type === 'partition.committed', 5_000, 'the commit');
    await child.kill();
    const at = new Map<unknown, number>();
    const heir = await world().consumer(stream, (data) => void at.set((data as { n: number }).n, performance.now()), { retry });
    await heir.owns(1);
    await world().client.send(stream, { key: 'other', data: { n: 2 } });
    await caughtUp(world(), stream, 1);
    expect(at.get(2)! - failedAt).toBeLessThan(3_900);
    expect(at.get(1)! - failedAt).toBeGreaterThan(3_900);
    expect(at.get(1)! - failedAt).toBeLessThan(5_500);
  });

  it('a position as versions before wrote it is read: failures without delays are tried again at once, and one with a delay by this one', async () => {
    const stream = await world().stream(1);
    const positions = keysOf(stream, { shards: 1 }).positions(0);
    const [a, b] = await world().client.sendMany(stream, ['a', 'b'].map((key) => ({ key, data: key })));
    const due = Date.now() + 1_500;
    await world().cli(['HSET', positions, '0', `5 3 0 - - 0||${a!.id}=2 ${b!.id}=1=${due}`]);
    const runs = new Runs();
    const at = new Map<unknown, number>();
    await world().consumer(stream, runs.handler(({ data }) => void at.set(data, Date.now())));
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['a', 3], ['b', 2]]);
    expect(at.get('a')).toBeLessThan(due - 100);
    expect(at.get('b')).toBeGreaterThanOrEqual(due - 50);
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
