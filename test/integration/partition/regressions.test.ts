import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { childOwns, Log, startChild } from './fixtures/child.js';
import type { Consumer } from './support/consumer.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

// What segmenter, the library this one takes over from, got wrong, each as a test.
onTopologies(BOTH, 'regressions', (world) => {
  it('2 partitions with 4 members: two work, two wait and take over when those go', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const consumers: Consumer[] = [];
    for (let i = 0; i < 4; i++) consumers.push(await world().consumer(stream, runs.handler()));
    await waitUntil(async () => {
      const { settled, members } = await world().client.assignment({ stream, group: 'group' });
      return settled && members.length === 4 && consumers.filter(({ owned }) => owned.length === 1).length === 2;
    }, { what: 'two own one each' });
    let n = 0;
    const round = async (): Promise<void> => {
      await world().client.sendMany(stream, messages(20, 10, n));
      n += 20;
      await caughtUp(world(), stream, 2);
      expect(runs.contexts).toHaveLength(n);
    };
    await round();
    while (consumers.length > 0) {
      const at = consumers.findIndex(({ owned }) => owned.length > 0);
      const [working] = consumers.splice(at, 1);
      await working!.stop();
      if (consumers.length === 0) break;
      await waitUntil(() => consumers.flatMap(({ owned }) => owned).sort().join() === '0,1', { what: 'both partitions have an owner again' });
      await round();
    }
    expect(n).toBe(80);
    expect(runs.distinct).toBe(80);
  });

  it('pending work of a dead owner comes before newer messages of that key', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    const options = { session: { ttlMs: 600 } };
    const victim = await startChild(world(), log, { stream, options });
    await childOwns(victim, 1);
    await world().client.sendMany(stream, [1, 2, 3].map((n) => ({ key: 'k', data: { n, ...(n === 1 ? { how: 'hold' } : {}) } })));
    await waitUntil(() => log.began(1).length === 1, { what: 'the first one runs' });
    await victim.kill();
    await world().client.sendMany(stream, [4, 5].map((n) => ({ key: 'k', data: { n } })));
    const handled: number[] = [];
    await world().consumer(stream, (data) => void handled.push((data as { n: number }).n), { engine: options });
    await world().client.sendMany(stream, [6, 7].map((n) => ({ key: 'k', data: { n } })));
    await waitUntil(() => handled.length === 7, { what: 'all are handled' });
    expect(handled).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('a leaver stops: no handler is called once it has stopped, whatever arrives', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const leaver = await world().consumer(stream, runs.handler(), { concurrency: 4 });
    await leaver.owns(4);
    let sent = 0;
    let sending = true;
    world().onEnd(() => { sending = false; });
    const load = (async () => {
      for (; sending; sent += 8) await world().client.sendMany(stream, messages(8, 8, sent));
    })();
    load.catch(() => undefined);
    await waitUntil(() => runs.contexts.length > 200, { what: 'it is at work' });
    await leaver.stop();
    const after = runs.contexts.length;
    const atStop = sent;
    await waitUntil(() => sent > atStop + 200, { what: 'more is sent' });
    await sleep(100);
    expect(runs.contexts).toHaveLength(after);
    sending = false;
    await load;
    const next = new Runs();
    await world().consumer(stream, next.handler());
    await caughtUp(world(), stream, 4);
    expect(after + next.contexts.length).toBe(sent);
    expect(new Set([...runs.ids, ...next.ids]).size).toBe(sent);
  });

  it('nothing that a group has not committed is trimmed, and what all have is', async () => {
    const stream = await world().stream(1);
    const fast = await world().consumer(stream, () => undefined, { group: 'fast' });
    const slow = await world().consumer(stream, () => undefined, { group: 'slow' });
    await Promise.all([fast.owns(1), slow.owns(1)]);
    await slow.stop();
    await world().client.sendMany(stream, messages(3_000, 10));
    await caughtUp(world(), stream, 1, { group: 'fast' });
    expect(await entriesOf(world(), stream, 0)).toHaveLength(3_000);
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { group: 'slow' });
    await caughtUp(world(), stream, 1, { group: 'slow' });
    expect(runs.contexts).toHaveLength(3_000);
    await waitUntil(async () => (await entriesOf(world(), stream, 0)).length < 200, { what: 'it is trimmed' });
    expect((await groupRow(world(), stream, 0, 'fast'))?.lag).toBe(0);
  });

  it('a stream of a single partition is handled', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const consumer = await world().consumer(stream, runs.handler());
    await consumer.owns(1);
    const sentAt = performance.now();
    await world().client.send(stream, { key: 'k', data: 1 });
    await waitUntil(() => runs.contexts.length === 1, { what: 'it is handled', intervalMs: 1 });
    expect(performance.now() - sentAt).toBeLessThan(3_000);
  });
});
