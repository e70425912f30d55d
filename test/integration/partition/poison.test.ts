import { describe, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { type Child, type ChildJob, Log, spawnChild, startChild } from './fixtures/child.js';
import { caughtUp } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/**
 * Runs the job in a process with a name of its own, and in another one whenever it has died, as an orchestrator would,
 * until `done`. @returns how often it died
 */
async function restarted(world: World, log: Log, job: ChildJob, done: () => Promise<unknown>, mostDeaths: number): Promise<{ deaths: number; last: Child; all: Child[] }> {
  const all: Child[] = [];
  let over = false;
  const end = done().finally(() => { over = true; });
  for (;;) {
    const child = spawnChild(world, log, { ...job, options: { consumerName: 'worker', ...job.options } });
    all.push(child);
    await Promise.race([child.exited, end]);
    if (over || all.length > mostDeaths) break;
  }
  expect(all.length - 1, 'deaths').toBeLessThanOrEqual(mostDeaths);
  await end;
  return { deaths: all.length - 1, last: all.at(-1)!, all };
}

const CASES = [{ how: 'exit' as const, maxCrashes: 3 }, { how: 'kill' as const, maxCrashes: 5 }];

onTopologies(BOTH, 'a message that ends its process', (world) => {
  describe.each(CASES)('by $how, maxCrashes $maxCrashes', ({ how, maxCrashes }) => {
    it('is parked after so many deaths; all before and after it are handled, none of them parked', async ({ skip }) => {
      if (world().kind === 'cluster' && maxCrashes === 5) skip('each death takes its time, and three are enough to see that it works there');
      const stream = await world().stream(2);
      const log = new Log(world());
      const send = (n: number, more: object = {}): Promise<unknown> => world().client.send(stream, { key: `k${n % 4}`, partition: n % 2, data: { n, ...more } });
      for (let n = 0; n < 40; n++) await send(n, n === 13 ? { how } : {});
      // 5 is what stands when nothing is said.
      const tuning = maxCrashes === 5 ? {} : { maxCrashes };
      const { deaths } = await restarted(world(), log, { stream, tuning }, () => caughtUp(world(), stream, 2, { timeoutMs: 30_000 }), maxCrashes);
      expect(deaths).toBe(maxCrashes);
      expect(log.began(13)).toHaveLength(maxCrashes);
      const letters = await world().client.deadLetters({ stream, group: 'group' });
      expect(letters).toMatchObject([{ reason: 'crashed', key: 'k1', partition: 1, data: JSON.stringify({ n: 13, how }) }]);
      expect(letters[0]!.error).toContain('died');
      const handled = log.guarded();
      expect(new Set(handled.map(({ n }) => n)).size).toBe(39);
      // Each key in order, what ran again left out.
      for (let k = 0; k < 4; k++) {
        const first = [...new Set(handled.filter(({ key }) => key === `k${k}`).map(({ n }) => n))];
        expect(first).toEqual([...first].sort((a, b) => a - b));
      }
    });
  });
});

onTopologies(['standalone'], 'a message that ends its process', (world) => {
  it('is given its deaths also when another one came before it', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    for (let n = 0; n < 12; n++) await world().client.send(stream, { key: `k${n}`, data: { n, ...(n === 2 || n === 3 ? { how: 'exit' } : {}) } });
    const { deaths } = await restarted(world(), log, { stream, tuning: { maxCrashes: 3 } }, () => caughtUp(world(), stream, 1, { timeoutMs: 40_000 }), 6);
    expect([2, 3].map((n) => log.began(n).length)).toEqual([3, 3]);
    expect(deaths).toBe(6);
    expect((await world().client.deadLetters({ stream, group: 'group' })).map(({ data }) => (JSON.parse(data) as { n: number }).n)).toEqual([3, 2]);
  });

  it('is found among others that run with it', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    for (let n = 0; n < 60; n++) await world().client.send(stream, { key: `k${n % 12}`, data: { n, ms: 5, ...(n === 20 ? { how: 'kill', ms: 15 } : {}) } });
    const { deaths } = await restarted(world(), log, { stream, tuning: { concurrency: 8, maxCrashes: 3, prefetch: 16 } },
      () => caughtUp(world(), stream, 1, { timeoutMs: 40_000 }), 20);
    expect(deaths).toBeGreaterThanOrEqual(3);
    expect((await world().client.deadLetters({ stream, group: 'group' })).map(({ data }) => JSON.parse(data) as { n: number })).toMatchObject([{ n: 20 }]);
    expect(new Set(log.guarded().map(({ n }) => n)).size).toBe(59);
  });

  it('is found within a batch', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    for (let n = 0; n < 20; n++) await world().client.send(stream, { key: `k${n % 5}`, data: { n, ...(n === 7 ? { how: 'kill' } : {}) } });
    const { deaths } = await restarted(world(), log, { stream, tuning: { batch: 10, maxCrashes: 3 } }, () => caughtUp(world(), stream, 1, { timeoutMs: 30_000 }), 3);
    expect(deaths).toBe(3);
    expect(await world().client.deadLetters({ stream, group: 'group' })).toMatchObject([{ reason: 'crashed', data: JSON.stringify({ n: 7, how: 'kill' }) }]);
    expect(new Set(log.guarded().map(({ n }) => n)).size).toBe(19);
  });

  it('in another partition, shard or stream of the same process is not held against innocents', async () => {
    const [stream, other] = [await world().stream({ partitions: 4, shards: 2 }), await world().stream(1)];
    const log = new Log(world());
    // Each process dies in the first turn: nothing has made progress anywhere, so everything is under suspicion.
    await world().client.send(stream, { partition: 0, key: 'p', data: { n: 0, how: 'kill' } });
    for (let n = 1; n < 40; n++) await world().client.send(stream, { partition: n % 4, key: `k${n % 8}`, data: { n } });
    for (let n = 100; n < 110; n++) await world().client.send(other, { key: `k${n % 2}`, data: { n, ms: 20 } });
    const tuning = { maxCrashes: 3 };
    await restarted(world(), log, { streams: [{ stream, tuning }, { stream: other, tuning }] },
      () => Promise.all([caughtUp(world(), stream, 4, { timeoutMs: 40_000, shards: 2 }), caughtUp(world(), other, 1, { timeoutMs: 40_000 })]), 8);
    expect(await world().client.deadLetters({ stream: other, group: 'group' })).toEqual([]);
    expect((await world().client.deadLetters({ stream, group: 'group' })).map(({ data }) => JSON.parse(data) as { n: number })).toMatchObject([{ n: 0 }]);
    expect(new Set(log.guarded().map(({ n }) => n)).size).toBe(49);
  });

  it('is never parked with maxCrashes 0', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    await world().client.send(stream, { key: 'k', data: { n: 0, how: 'exit' } });
    await restarted(world(), log, { stream, tuning: { maxCrashes: 0 } }, () => waitUntil(() => log.began(0).length === 5, { what: 'it ran five times', timeoutMs: 30_000 }), 5);
    expect(await world().client.deadLetters({ stream, group: 'group' })).toEqual([]);
  });

  it('is not confused with processes that are killed for other reasons while all makes progress', async () => {
    const stream = await world().stream(2);
    const log = new Log(world());
    for (let n = 0; n < 400; n++) await world().client.send(stream, { key: `k${n % 10}`, data: { n, ms: 4 } });
    for (let death = 0; death < 4; death++) {
      const child = await startChild(world(), log, { stream, tuning: { maxCrashes: 3, concurrency: 2 }, options: { consumerName: 'worker' } });
      for (const partition of [0, 1]) await child.waitFor((event) => event.type === 'partition.committed' && event.partition === partition, 10_000, 'some progress');
      await child.kill();
    }
    await startChild(world(), log, { stream, tuning: { maxCrashes: 3, concurrency: 2 }, options: { consumerName: 'worker' } });
    await caughtUp(world(), stream, 2, { timeoutMs: 20_000 });
    expect(await world().client.deadLetters({ stream, group: 'group' })).toEqual([]);
    expect(new Set(log.guarded().map(({ n }) => n)).size).toBe(400);
  });

  it('its suspects run alone, and what comes after it side by side again', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    for (let n = 0; n < 4; n++) await world().client.send(stream, { key: `k${n}`, data: { n, ms: 30, ...(n === 3 ? { how: 'kill', ms: 0 } : {}) } });
    for (let n = 4; n < 12; n++) await world().client.send(stream, { key: `k${n}`, data: { n, ms: 200 } });
    const { deaths, last, all } = await restarted(world(), log, { stream, tuning: { maxCrashes: 3, concurrency: 4 } }, () => caughtUp(world(), stream, 1, { timeoutMs: 30_000 }), 3);
    expect(deaths).toBe(3);
    const lives = [...new Set(log.lines().map(({ token }) => token))].map((token) => log.lines().filter((line) => line.token === token).map(({ what, n }) => `${what} ${n}`));
    expect(lives.slice(0, 2)).toEqual([['begin 0', 'begin 1', 'begin 2', 'begin 3'], ['begin 0', 'begin 1', 'begin 2', 'begin 3']]);
    expect(lives[2]).toEqual(['begin 0', 'effect 0', 'begin 1', 'effect 1', 'begin 2', 'effect 2', 'begin 3']);
    expect(lives[3]!.slice(0, 4)).toEqual(['begin 4', 'begin 5', 'begin 6', 'begin 7']);
    const suspected = (child: Child): boolean => child.messages.some(({ type }) => type === 'partition.suspected');
    expect(all.slice(0, 2).some(suspected)).toBe(false);
    expect([all[2]!, last].every(suspected)).toBe(true);
  });
});
