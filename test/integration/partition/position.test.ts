import { expect, it } from 'vitest';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { waitUntil } from '../../support/wait.js';
import type { PartitionContext, SentMessage } from './support/engine.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf, keysOf, partitionKey } from './support/keys.js';
import { isAfter, Ledger, shown, type Shown, Valve } from './support/positions.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'position and lag, as XINFO GROUPS shows them', (world) => {
  const PARTITIONS = 3;
  const ref = (stream: string) => ({ stream, group: 'group' });

  it('are true after every commit: handlers finish in any order, consumers come, stop and die, positions are sought', async () => {
    const rng = createRng(seedFromEnv('positions'));
    const stream = await world().stream({ partitions: PARTITIONS, retention: { keepMs: 600_000 } });
    const ledger = new Ledger(world(), stream, PARTITIONS);
    const valve = new Valve(ledger);
    const start = () => world().consumer(stream, valve.handler, { concurrency: 5, prefetch: 32 });
    let consumers = [await start(), await start()];
    for (let round = 0; round < 25; round++) {
      ledger.note(await world().client.sendMany(stream, messages(rng.int(0, 12), 9, round * 12)));
      for (let i = rng.int(0, 12); i > 0; i--) {
        valve.release((count) => rng.int(0, count - 1));
        if (rng.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
      }
      const fate = rng.int(0, 9);
      if (fate === 0) {
        const at = rng.int(0, 1);
        await consumers[at]!.stop();
        consumers[at] = await start();
      } else if (fate === 1) {
        const victim = rng.pick(consumers);
        if (victim.session) await world().cli(['ZADD', keysOf(stream).sessions, 1, victim.session]);
      } else if (fate === 2) {
        const partition = rng.int(0, PARTITIONS - 1);
        const ids = ledger.ids(partition);
        if (ids.length > 0) {
          const id = rng.pick(ids);
          await world().client.seek(ref(stream), id, [partition]);
          ledger.sought(partition, (await shown(world(), stream, partition)).position);
        }
      }
      await ledger.agrees(`round ${round}, fate ${fate}`);
    }
    const open = setInterval(() => valve.releaseAll(), 2);
    await caughtUp(world(), stream, PARTITIONS).finally(() => clearInterval(open));
    await ledger.agrees('the end');
    consumers = [];
  });

  it('are true while what was committed is trimmed all the time', async () => {
    const rng = createRng(seedFromEnv('trims'));
    const stream = await world().stream({ partitions: PARTITIONS, retention: { maxEntries: 12 } });
    const ledger = new Ledger(world(), stream, PARTITIONS);
    const valve = new Valve(ledger);
    const a = await world().consumer(stream, valve.handler, { concurrency: 3 });
    await a.owns(PARTITIONS);
    let refused = 0;
    for (let round = 0; round < 25; round++) {
      const outcomes = await Promise.allSettled(messages(rng.int(0, 14), 9, round * 12).map((message) => world().client.send(stream, message)));
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') ledger.note([outcome.value]);
      refused += outcomes.filter(({ status }) => status === 'rejected').length;
      for (let i = rng.int(0, 16); i > 0; i--) {
        valve.release((count) => rng.int(0, count - 1));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await ledger.agrees(`round ${round}`);
    }
    const lengths = await world().client.sizes(stream);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(12);
    expect(refused).toBeGreaterThan(0);
    const open = setInterval(() => valve.releaseAll(), 2);
    await caughtUp(world(), stream, PARTITIONS).finally(() => clearInterval(open));
    await ledger.agrees('the end');
  });

  it('never run ahead of what was finished, nor behind what was said to be committed, under load', async () => {
    const stream = await world().stream(PARTITIONS);
    const finishedAt = new Map<string, number>();
    const handler = async (_: unknown, { partition, id }: PartitionContext): Promise<void> => {
      if (Math.random() < 0.3) await new Promise((resolve) => setImmediate(resolve));
      finishedAt.set(`${partition}/${id}`, performance.now());
    };
    const consumers = [await world().consumer(stream, handler, { concurrency: 8 }), await world().consumer(stream, handler, { concurrency: 8 })];
    const told = new Map<number, string>();
    for (const { engine } of consumers) engine.events.on('partition.committed', ({ partition, watermark }) => told.set(partition, watermark));
    const samples: Array<Shown & { partition: number; at: number; told: string }> = [];
    let busy = true;
    const sampling = (async () => {
      for (let i = 0; busy; i++) {
        const partition = i % PARTITIONS;
        const before = told.get(partition) ?? '0-0';
        if (before !== '0-0') samples.push({ ...(await shown(world(), stream, partition)), partition, at: performance.now(), told: before });
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const sent: SentMessage[] = [];
    for (let i = 0; i < 40; i++) sent.push(...await world().client.sendMany(stream, messages(200, 60, i * 200)));
    await caughtUp(world(), stream, PARTITIONS);
    busy = false;
    await sampling;
    const ids = Array.from({ length: PARTITIONS }, (_, partition) => sent.filter((message) => message.partition === partition).map(({ id }) => id));
    expect(samples.length).toBeGreaterThan(10);
    for (const { partition, position, entriesRead, lag, added, at, told: before } of samples) {
      const index = ids[partition]!.indexOf(position) + 1;
      expect(isAfter(before, position)).toBe(false);
      expect({ entriesRead, lag }).toEqual({ entriesRead: index, lag: added - index });
      for (const id of ids[partition]!.slice(Math.max(0, index - 300), index)) expect(finishedAt.get(`${partition}/${id}`)).toBeLessThanOrEqual(at);
    }
  });

  it('an acknowledged message is below the position by the time ack() resolves', async () => {
    const stream = await world().stream(1);
    const seen: Array<[string, Shown]> = [];
    await world().consumer(stream, async (_, context) => {
      await context.ack();
      seen.push([context.id, await shown(world(), stream, 0)]);
    }, { ack: 'manual' });
    const sent = await world().client.sendMany(stream, messages(20, 5));
    await waitUntil(() => seen.length === 20, { what: 'all are acknowledged' });
    for (const [id, row] of seen) {
      // The next ones may be through as well by then.
      const [own, index] = [id, row.position].map((each) => sent.findIndex((message) => message.id === each) + 1) as [number, number];
      expect(index).toBeGreaterThanOrEqual(own);
      expect(row).toMatchObject({ entriesRead: index, lag: row.added - index });
    }
  });

  it('nothing is ever pending in the native group', async () => {
    const stream = await world().stream(1);
    const hold = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => hold.opened), { concurrency: 5 });
    await world().client.sendMany(stream, messages(10, 10));
    await waitUntil(() => runs.contexts.length === 5, { what: 'five run' });
    expect((await world().cli(['XPENDING', keysOf(stream).partition(0), 'group']))).toEqual([0, null, null, null]);
    hold.open();
    await caughtUp(world(), stream, 1);
  });

  it.each(['an id', 'a Date', 'latest', 'earliest', 'an id before all', 'an id after all'] as const)('a group that starts at %s: true from its first commit on', async (where) => {
    const stream = await world().stream({ partitions: 1, retention: { keepMs: 600_000 } });
    const ledger = new Ledger(world(), stream, 1);
    ledger.note(await world().client.sendMany(stream, messages(10)));
    const from = Number(ledger.ids(0)[9]!.split('-')[0]);
    await waitUntil(() => Date.now() > from + 2, { what: 'the clock has moved on' });
    ledger.note(await world().client.sendMany(stream, messages(10, 1, 10)));
    const second = ledger.ids(0)[10]!;
    const start = { 'an id': second, 'a Date': new Date(Number(second.split('-')[0])), latest: 'latest', earliest: 'earliest', 'an id before all': '5-0', 'an id after all': `${Number(second.split('-')[0]) + 50}-0` }[where];
    const valve = new Valve(ledger);
    const a = await world().consumer(stream, valve.handler, { startFrom: start });
    await a.owns(1);
    const first = (await shown(world(), stream, 0)).position;
    ledger.sought(0, first);
    const skipped = { 'an id': 10, 'a Date': 10, latest: 20, earliest: 0, 'an id before all': 0, 'an id after all': 20 }[where];
    expect(ledger.upTo(0, first)).toBe(skipped);
    const moment = Number(second.split('-')[0]) + 60;
    await waitUntil(() => Date.now() > moment, { what: 'the moment to start from is over' });
    ledger.note(await world().client.sendMany(stream, messages(5, 1, 20)));
    for (let i = 0; i < 3; i++) {
      await waitUntil(() => valve.size > 0, { what: 'one runs' });
      valve.release(() => 0);
      await ledger.agrees(`${where}, commit ${i + 1}`);
    }
    const open = setInterval(() => valve.releaseAll(), 2);
    await caughtUp(world(), stream, 1).finally(() => clearInterval(open));
    await ledger.agrees('the end');
  });

  it('a group that starts after much has been trimmed counts what is gone', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 20 } });
    const ledgers = ['one', 'two'].map((group) => new Ledger(world(), stream, 1, group));
    await (await world().consumer(stream, async (_, context) => ledgers[0]!.done(context), { group: 'one' })).owns(1);
    for (let i = 0; i < 3; i++) {
      const sent = await world().client.sendMany(stream, messages(20, 1, i * 20));
      for (const ledger of ledgers) ledger.note(sent);
      await caughtUp(world(), stream, 1, { group: 'one' });
    }
    const valve = new Valve(ledgers[1]!);
    await (await world().consumer(stream, valve.handler, { group: 'two' })).owns(1);
    const oldest = 60 - (await shown(world(), stream, 0, 'two')).length;
    expect(oldest).toBeGreaterThanOrEqual(40);
    ledgers[1]!.sought(0, ledgers[1]!.ids(0)[oldest - 1]!);
    for (let i = 0; i < 5; i++) {
      await waitUntil(() => valve.size > 0, { what: 'one runs' });
      valve.release(() => 0);
      await ledgers[1]!.agrees(`commit ${i + 1}`);
    }
    const open = setInterval(() => valve.releaseAll(), 2);
    await caughtUp(world(), stream, 1, { group: 'two' }).finally(() => clearInterval(open));
    for (const ledger of ledgers) await ledger.agrees('the end');
  });

  it('a group that starts when all has been trimmed has no lag', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 3 } });
    const ledger = new Ledger(world(), stream, 1, 'two');
    await (await world().consumer(stream, () => undefined, { group: 'one' })).owns(1);
    ledger.note(await world().client.sendMany(stream, messages(3)));
    await caughtUp(world(), stream, 1, { group: 'one' });
    await world().cli(['XTRIM', partitionKey(world(), stream, 0), 'MAXLEN', 0]);
    const valve = new Valve(ledger);
    await (await world().consumer(stream, valve.handler, { group: 'two' })).owns(1);
    expect(await shown(world(), stream, 0, 'two')).toMatchObject({ entriesRead: 3, lag: 0 });
    ledger.sought(0, ledger.ids(0)[2]!);
    ledger.note(await world().client.sendMany(stream, messages(3, 1, 3)));
    for (let i = 0; i < 3; i++) {
      await waitUntil(() => valve.size > 0, { what: 'one runs' });
      valve.release(() => 0);
      await ledger.agrees(`commit ${i + 1}`);
    }
  });

  it('drop-oldest: unknown at most until the group has caught up, true again from then on', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10, whenFull: 'drop-oldest' } });
    const ledger = new Ledger(world(), stream, 1);
    const valve = new Valve(ledger);
    const a = await world().consumer(stream, valve.handler, { prefetch: 4 });
    await a.owns(1);
    for (let round = 0; round < 3; round++) {
      ledger.note(await world().client.sendMany(stream, messages(10, 1, round * 50)));
      await waitUntil(() => valve.size === 1, { what: 'one runs' });
      ledger.note(await world().client.sendMany(stream, messages(25, 1, round * 50 + 10)));
      valve.release(() => 0);
      await waitUntil(async () => {
        const row = await shown(world(), stream, 0);
        // Whatever it says: that it does not know, or the truth, with or without those that were dropped.
        const left = (await entriesOf(world(), stream, 0)).filter(({ id }) => isAfter(id, row.position)).length;
        expect([null, left, row.added - ledger.upTo(0, row.position)]).toContain(row.lag);
        valve.releaseAll();
        return row.position === ledger.ids(0).at(-1);
      }, { what: 'it has caught up', intervalMs: 2 });
      for (const id of ledger.ids(0)) ledger.done({ partition: 0, id } as PartitionContext);
      await ledger.agrees(`round ${round}, at the end`);
      ledger.note(await world().client.sendMany(stream, messages(6, 1, round * 50 + 35)));
      for (let i = 0; i < 3; i++) {
        await waitUntil(() => valve.size > 0, { what: 'one runs' });
        valve.release(() => 0);
        await ledger.agrees(`round ${round}, ${i + 1} further on`);
      }
      const open = setInterval(() => valve.releaseAll(), 2);
      await caughtUp(world(), stream, 1).finally(() => clearInterval(open));
    }
  });

  it('several groups have positions of their own', async () => {
    const stream = await world().stream(2);
    const groups = ['a', 'b', 'c'].map((group) => ({ group, ledger: new Ledger(world(), stream, 2, group) })).map((each) => ({ ...each, valve: new Valve(each.ledger) }));
    for (const { group, valve } of groups) await (await world().consumer(stream, valve.handler, { group })).owns(2);
    const sent = await world().client.sendMany(stream, messages(30, 10));
    for (const { ledger } of groups) ledger.note(sent);
    for (const [n, { valve }] of groups.entries()) {
      for (let i = 0; i < n * 5; i++) {
        await waitUntil(() => valve.size > 0, { what: 'one runs' });
        valve.release(() => 0);
      }
    }
    for (const { group, ledger } of groups) await ledger.agrees(`group ${group}`);
  });
});
