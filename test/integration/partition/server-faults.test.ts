import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { SentMessage } from './support/engine.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, groupRow, keysOf, partitionKey } from './support/keys.js';
import { startLoad } from './support/load.js';
import { BOTH, onTopologies } from './support/world.js';

const ids = (sent: readonly SentMessage[]): string[] => sent.map(({ partition, id }) => `${partition}/${id}`).sort();
const long = { session: { ttlMs: 6_000, heartbeatMs: 300 } };
const ref = (stream: string) => ({ stream, group: 'group' });

onTopologies(BOTH, 'faults of the server', (world) => {
  it('a partition deleted while owned: what comes after is handled, the others do not notice, count and lag begin anew', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(3);
    await world().client.sendMany(stream, messages(60, 20));
    await caughtUp(world(), stream, 3);
    await world().cli(['DEL', partitionKey(world(), stream, 1)]);
    const sent = await world().client.sendMany(stream, messages(60, 20, 60));
    await caughtUp(world(), stream, 3);
    expect(ids(runs.contexts.slice(60))).toEqual(ids(sent));
    const inOne = sent.filter(({ partition }) => partition === 1).length;
    expect(inOne).toBeGreaterThan(0);
    expect(await groupRow(world(), stream, 1)).toMatchObject({ entriesRead: inOne, lag: 0 });
    expect((await world().client.lag(ref(stream))).map(({ lag }) => lag)).toEqual([0, 0, 0]);
    expect(a.all('partition.lost')).toEqual([]);
    // And for the next owner as well.
    await a.stop();
    await world().consumer(stream, runs.handler());
    const more = await world().client.sendMany(stream, messages(30, 20, 120));
    await caughtUp(world(), stream, 3);
    expect(ids(runs.contexts.slice(120))).toEqual(ids(more));
    expect(await groupRow(world(), stream, 1)).toMatchObject({ entriesRead: inOne + more.filter(({ partition }) => partition === 1).length, lag: 0 });
  });

  it('a group destroyed while handlers run: goes on where it was, nothing is lost or runs twice', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const hold = gate();
    const a = await world().consumer(stream, runs.handler(() => (runs.contexts.length > 20 ? hold.opened : undefined)));
    await a.owns(2);
    await world().client.sendMany(stream, messages(20, 10));
    await caughtUp(world(), stream, 2);
    const sent = await world().client.sendMany(stream, messages(20, 10, 20));
    await waitUntil(() => runs.contexts.length === 22, { what: 'one of each runs' });
    for (const partition of [0, 1]) await world().cli(['XGROUP', 'DESTROY', partitionKey(world(), stream, partition), 'group'], partitionKey(world(), stream, partition));
    hold.open();
    await caughtUp(world(), stream, 2);
    expect(ids(runs.contexts.slice(20))).toEqual(ids(sent));
    for (const partition of [0, 1]) expect((await groupRow(world(), stream, partition))!.lag).toBe(0);
    expect((await groupRow(world(), stream, 0))!.entriesRead! + (await groupRow(world(), stream, 1))!.entriesRead!).toBe(40);
  });

  it('a group destroyed while idle: it is there again before anything can be trimmed past it', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10 } });
    const [kept, destroyed] = [new Runs(), new Runs()];
    const hold = gate();
    await (await world().consumer(stream, kept.handler(), { group: 'kept' })).owns(1);
    const b = await world().consumer(stream, destroyed.handler(() => hold.opened), { group: 'destroyed' });
    await b.owns(1);
    const sent = await world().client.sendMany(stream, messages(10));
    await waitUntil(() => destroyed.contexts.length === 1, { what: 'the first runs' });
    const key = partitionKey(world(), stream, 0);
    await world().cli(['XGROUP', 'DESTROY', key, 'destroyed'], key);
    // Its owner lives: it tells where it stands with its next heartbeat.
    await waitUntil(async () => (await groupRow(world(), stream, 0, 'destroyed')) !== undefined, { what: 'the group is there again', timeoutMs: 5_000 });
    hold.open();
    await caughtUp(world(), stream, 1, { group: 'destroyed' });
    expect(ids(destroyed.contexts)).toEqual(ids(sent));
  });

  it('everything flushed: joins again, and handles all that is sent from then on', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    const b = await world().consumer(stream, runs.handler());
    await b.client.register({ name: stream, partitions: 3, shards: world().shards });
    await waitUntil(() => a.owned.length + b.owned.length === 3 && a.owned.length > 0 && b.owned.length > 0, { what: 'both have a share' });
    await world().client.sendMany(stream, messages(60, 20));
    await caughtUp(world(), stream, 3);
    await world().everywhere('FLUSHALL');
    const sent = await world().client.sendMany(stream, messages(60, 20));
    await waitUntil(() => a.all('session.joined').length === 2 && b.all('session.joined').length === 2, { what: 'both have joined again' });
    await caughtUp(world(), stream, 3);
    expect([...new Set(runs.ids.slice(60))].sort()).toEqual(ids(sent));
    const more = await world().client.sendMany(stream, messages(60, 20));
    await caughtUp(world(), stream, 3);
    expect(runs.ids.slice(-60).sort()).toEqual(ids(more));
    for (const partition of [0, 1, 2]) expect((await groupRow(world(), stream, partition))!.lag).toBe(0);
    // Of those who registered it, the one who joined again has told it again.
    await waitUntil(async () => (await world().cli(['EXISTS', keysOf(stream).registration])) === 1, { what: 'it is registered again' });
  });

  it('scripts flushed: nobody notices', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(2);
    for (let i = 0; i < 3; i++) {
      await world().client.sendMany(stream, messages(20, 10, i * 20));
      await world().everywhere('SCRIPT', 'FLUSH');
    }
    await caughtUp(world(), stream, 2);
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(runs.contexts).toHaveLength(60);
    expect([...a.errors, ...a.all('session.lost'), ...a.all('reader.error'), ...a.all('partition.lost')]).toEqual([]);
  });

  it('every connection killed, again and again, under load: no loss, in order, session and partitions kept', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { concurrency: 4, engine: long });
    await a.owns(3);
    const session = a.session;
    const load = startLoad(world(), world().client, stream, { keys: 9 });
    for (let round = 0; round < 4; round++) {
      const before = runs.contexts.length;
      await world().everywhere('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await world().everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await waitUntil(() => runs.contexts.length > before + 40, { what: 'it goes on' });
    }
    await load.stop();
    await caughtUp(world(), stream, 3);
    expect(a.session).toBe(session);
    expect(ids(runs.contexts)).toEqual(ids(load.sent));
    for (let key = 0; key < 9; key++) {
      const numbers = runs.ofKey(`k${key}`).map(({ data }) => Number(String(data).slice(1)));
      expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    }
    expect(a.all('partition.lost')).toEqual([]);
    const [error] = await a.saw('reader.error');
    const [recovered] = await a.saw('reader.recovered');
    expect(error).toMatchObject({ service: `${stream}#group`, failures: 1 });
    expect(recovered!.failures).toBeGreaterThanOrEqual(1);
    expect(recovered!.downMs).toBeGreaterThan(0);
  });

  it('another type at one partition\'s key before the start: the others go on, it is told, and it goes on when the key is gone', async () => {
    const stream = await world().stream({ partitions: 4, shards: 1 });
    const key = partitionKey(world(), stream, 2, 1);
    await world().cli(['SET', key, 'in the way']);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: long });
    const send = (partition: number) => world().client.sendMany(stream, messages(10, 5).map((message) => ({ ...message, partition })));
    await Promise.all([send(0), send(1), send(3)]);
    await waitUntil(() => runs.contexts.length === 30, { what: 'the others are handled', timeoutMs: 5_000 });
    await waitUntil(() => a.errors.some(({ message }) => message.includes('WRONGTYPE')), { what: 'it is told' });
    await world().cli(['DEL', key]);
    await send(2);
    await waitUntil(() => runs.contexts.length === 40, { what: 'it is handled as well' });
  });

  it('another type at one partition\'s key while owned: the others go on, it is told, and it goes on when the key is gone', async () => {
    const stream = await world().stream({ partitions: 4, shards: 1 });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: long });
    await a.owns(4);
    const send = (partition: number) => world().client.sendMany(stream, messages(10, 5).map((message) => ({ ...message, partition })));
    for (const partition of [0, 1, 2, 3]) await send(partition);
    await waitUntil(() => runs.contexts.length === 40, { what: 'all are handled' });
    const key = partitionKey(world(), stream, 2, 1);
    await world().cli(['DEL', key]);
    await world().cli(['SET', key, 'in the way']);
    await a.saw('reader.error');
    for (const partition of [0, 1, 3]) await send(partition);
    await waitUntil(() => runs.contexts.length === 70, { what: 'the others are handled', timeoutMs: 8_000 });
    await waitUntil(async () => (await world().client.lag(ref(stream)).catch(() => undefined))?.filter(({ partition }) => partition !== 2).every(({ lag }) => lag === 0) ?? true, { what: 'and committed' });
    await world().cli(['DEL', key]);
    await send(2);
    await waitUntil(() => runs.contexts.length === 80, { what: 'it is handled as well', timeoutMs: 8_000 });
    await a.saw('reader.recovered');
    expect(runs.distinct).toBe(80);
  });

  it('another type at one partition\'s key: a batch for it and others stores the others\' messages once and says which failed', async () => {
    const stream = await world().stream({ partitions: 3, shards: 1 });
    await world().cli(['SET', partitionKey(world(), stream, 1, 1), 'in the way']);
    const outcomes = await Promise.allSettled([0, 1, 2, 0, 1, 2].map((partition) => world().client.send(stream, { partition, data: partition })));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    const { reason } = outcomes[1] as PromiseRejectedResult;
    expect(reason).toMatchObject({ code: 'PARTITION_UNUSABLE', retriable: false, partition: 1 });
    expect(String(reason)).toContain(partitionKey(world(), stream, 1, 1));
    for (const partition of [0, 2]) expect(await world().cli(['XLEN', partitionKey(world(), stream, partition, 1)])).toBe(2);
  });
});
