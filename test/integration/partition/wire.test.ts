import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf, groupRow, keysOf, partitionKey } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'wire format', (world) => {
  const ref = (stream: string) => ({ stream, group: 'group' });
  const xadd = async (stream: string, partition: number, ...flat: string[]): Promise<string> =>
    String(await world().cli(['XADD', partitionKey(world(), stream, partition), '*', ...flat]));

  it('an entry has the fields key, data and headers, the last two as JSON, and no more than are there', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, [
      { key: 'k', data: { a: [1, null, 'ä'] }, headers: { trace: 'x', 'content-type': 'y' } },
      { key: 'k', data: 'text' }, { data: 7 }, { data: undefined, headers: { a: 'b' } }, { key: 'k', data: null, headers: {} },
    ]);
    expect((await world().cli(['XRANGE', keysOf(stream).partition(0), '-', '+']) as [string, string[]][]).map(([, flat]) => flat)).toEqual([
      ['key', 'k', 'data', '{"a":[1,null,"ä"]}', 'headers', '{"trace":"x","content-type":"y"}'],
      ['key', 'k', 'data', '"text"'], ['data', '7'], ['data', 'null', 'headers', '{"a":"b"}'], ['key', 'k', 'data', 'null'],
    ]);
  });

  it('a handler gets what was sent', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    const sent = await world().client.sendMany(stream, [
      { key: 'ключ 🙂', data: { a: [1, null, 'ä\0'] }, headers: { trace: 'x' }, partition: 2 }, { data: null, partition: 0 }, { key: '', data: '', headers: { '': '' }, partition: 1 },
    ]);
    await caughtUp(world(), stream, 3);
    const [two, zero, one] = [2, 0, 1].map((partition) => runs.ofPartition(partition)[0]!);
    expect(two).toMatchObject({ stream, group: 'group', partition: 2, id: sent[0]!.id, key: 'ключ 🙂', data: { a: [1, null, 'ä\0'] }, attempt: 1, lag: 0 });
    expect({ ...two!.headers }).toEqual({ trace: 'x' });
    expect([zero!.key, zero!.data, { ...zero!.headers }]).toEqual([undefined, null, {}]);
    expect([one!.key, one!.data, { ...one!.headers }]).toEqual(['', '', { '': '' }]);
    expect(two!.fencingToken).toBe(a.inner.owned().find(({ partition }) => partition === 2)!.fencingToken);
    expect(Number.isSafeInteger(two!.fencingToken)).toBe(true);
  });

  it('what any other client adds is handled: other fields, another order, no key', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    await xadd(stream, 0, 'data', '{"n":1}', 'more', 'x', 'key', 'k');
    await xadd(stream, 0, 'data', ' [2] ');
    await xadd(stream, 1, 'headers', '{"a":"b","n":1,"o":{},"__proto__":"p"}', 'key', 'k', 'data', 'true');
    await xadd(stream, 1, 'headers', 'no JSON', 'data', '"x"');
    await xadd(stream, 1, 'headers', '["a"]', 'data', '-1e3');
    await caughtUp(world(), stream, 2);
    expect(runs.ofPartition(0).map(({ key, data }) => [key, data])).toEqual([['k', { n: 1 }], [undefined, [2]]]);
    expect(runs.ofPartition(1).map(({ key, data, headers }) => [key, data, Object.entries(headers)])).toEqual([['k', true, [['a', 'b'], ['__proto__', 'p']]], [undefined, 'x', []], [undefined, -1_000, []]]);
    expect(await world().client.deadLetters(ref(stream))).toEqual([]);
  });

  it.each<[string, string[], string, RegExp]>([
    ['without data', ['key', 'k', 'other', 'x'], 'missing-data', /no field "data"/],
    ['with data that is no JSON', ['key', 'k', 'data', '{"a":'], 'invalid-json', /not JSON/],
    ['with empty data', ['key', 'k', 'data', ''], 'invalid-json', /not JSON/],
  ])('an entry %s goes to the dead letters with its reason, and reading goes on', async (_, flat, reason, message) => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await world().client.send(stream, { key: 'k', data: 'before', partition: 1 });
    const id = await xadd(stream, 1, ...flat);
    await world().client.send(stream, { key: 'k', data: 'after', partition: 1 });
    await caughtUp(world(), stream, 2);
    expect(runs.data).toEqual(['before', 'after']);
    const [letter, ...more] = await world().client.deadLetters(ref(stream));
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ reason, stream, group: 'group', partition: 1, id, key: 'k', attempts: 1 });
    expect(letter!.error).toMatch(message);
    expect(Math.abs(letter!.at - Date.now())).toBeLessThan(60_000);
    const event = (await a.saw('partition.deadLettered'))[0]!;
    expect(event).toMatchObject({ partition: 1, id, reason });
    const dead = keysOf(stream, { shards: Math.min(2, world().shards) }).dead(1);
    const [[, fields]] = (await world().cli(['XRANGE', dead, '-', '+'])) as [[string, string[]]];
    expect(fields!.filter((__, i) => i % 2 === 0)).toEqual(['reason', 'error', 'stream', 'group', 'partition', 'id', 'attempts', 'owner', 'token', ...flat.filter((__, i) => i % 2 === 0).map((name) => `entry.${name}`), 'at']);
    expect(await groupRow(world(), stream, 1)).toMatchObject({ entriesRead: 3, lag: 0 });
  });

  it('many unreadable ones in a row, and among a batch: all parked once, the others handled in order', async () => {
    const stream = await world().stream(1);
    const seen: unknown[] = [];
    await world().client.pause(ref(stream));
    const a = await world().consumer(stream, { batch: (data) => { seen.push(...data); } }, { batch: 20 });
    await a.owns(1);
    for (let i = 0; i < 40; i++) {
      await world().client.send(stream, { key: `k${i % 3}`, data: i });
      if (i % 4 === 0) await xadd(stream, 0, 'key', `k${i % 3}`, 'data', '{');
    }
    for (let i = 0; i < 5; i++) await xadd(stream, 0, 'nothing', 'of ours');
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 1);
    const letters = await world().client.deadLetters(ref(stream));
    expect(letters.map(({ reason }) => reason).sort()).toEqual([...Array<string>(10).fill('invalid-json'), ...Array<string>(5).fill('missing-data')]);
    expect(seen.toSorted((x, y) => Number(x) - Number(y))).toEqual(Array.from({ length: 40 }, (_, i) => i));
    for (let key = 0; key < 3; key++) {
      const own = seen.filter((n) => Number(n) % 3 === key);
      expect(own).toEqual(own.toSorted((x, y) => Number(x) - Number(y)));
    }
  });

  it('a dead letter keeps what was sent, whole, and a field of the sender passes for none of ours', async () => {
    const stream = await world().stream(1);
    await world().consumer(stream, () => { throw new Error('no'); }, { retry: { maxAttempts: 2, initialMs: 1 } });
    const id = await xadd(stream, 0, 'key', 'k', 'data', '{"n":1}', 'headers', '{"a":"b"}', 'reason', 'mine', 'at', 'never');
    await caughtUp(world(), stream, 1);
    const [letter] = await world().client.deadLetters(ref(stream));
    expect(letter).toMatchObject({ reason: 'max-attempts', error: 'no', attempts: 2, id, key: 'k', data: '{"n":1}' });
    expect({ ...letter!.headers }).toEqual({ a: 'b' });
  });

  it('the newest dead letters come first, as many as asked for', async () => {
    const stream = await world().stream(3);
    await world().consumer(stream, () => { throw new Error('no'); }, { retry: { maxAttempts: 1 } });
    for (let i = 0; i < 9; i++) {
      await world().client.send(stream, { data: i, partition: i % 3 });
      await waitUntil(async () => (await world().client.deadLetters(ref(stream))).length === i + 1, { what: 'it is parked', intervalMs: 2 });
    }
    const letters = await world().client.deadLetters(ref(stream));
    expect(letters.map(({ at }) => at)).toEqual(letters.map(({ at }) => at).sort((a, b) => b - a));
    expect((await world().client.deadLetters(ref(stream), { limit: 2 })).length).toBe(2);
    expect((await world().client.deadLetters({ stream, group: 'other' }))).toEqual([]);
  });

  it('makes the documented keys and no others, each under the tag of its shard or group', async () => {
    const stream = await world().stream({ partitions: 4, shards: 2 });
    const a = await world().consumer(stream, () => { throw new Error('no'); }, { retry: { maxAttempts: 1 }, engine: { consumerName: `one-${process.pid}` } });
    await a.owns(4);
    await world().client.sendMany(stream, [0, 1, 2, 3].map((partition) => ({ partition, data: 1 })));
    await caughtUp(world(), stream, 4, { shards: 2 });
    const keys = keysOf(stream, { shards: 2 });
    const expected = [
      keys.registration, ...[0, 1, 2, 3].map(keys.partition), ...[0, 1].flatMap((shard) => [keys.positions(shard), keys.dead(shard)]),
      keys.sessions, keys.members, keys.names, keys.roster, keys.group, keys.target, keys.owners,
    ];
    const found = (await world().allKeys()).filter((key) => key.includes(stream) && !key.includes(':producer:'));
    expect(found).toEqual(expected.sort());
    const producers = (await world().allKeys()).filter((key) => key.includes(stream) && key.includes(':producer:'));
    expect(producers.every((key) => /^\{[^}]+\/[01]\}:producer:[0-9a-f]{16}$/.test(key))).toBe(true);
    for (const key of producers) expect(Number(await world().cli(['PTTL', key]))).toBeGreaterThan(0);
    await a.stop();
    const left = (await world().allKeys()).filter((key) => key.startsWith(`{${stream}#`));
    expect([keys.group, keys.owners, keys.target]).toEqual(expect.arrayContaining(left));
    expect((await entriesOf(world(), stream, 0, 2)).length).toBeLessThanOrEqual(1);
  });

  it('entries of any shape are read: many fields, none of ours, line ends, bytes that are no text', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    const many = Array.from({ length: 200 }, (_, i) => [`f${i}`, `v${i}`]).flat();
    await xadd(stream, 0, ...many, 'key', 'k', 'data', '"many"');
    await xadd(stream, 0, '', '', 'data', '"\\r\\n"');
    await xadd(stream, 0, 'data\r\n', 'x', '\r\n$3\r\n', '*1\r\n', 'data', '"$-1"');
    await xadd(stream, 0, 'key', '\ufffd\u0000', 'data', '"nul in the key"');
    await xadd(stream, 1, ...many);
    await xadd(stream, 1, 'data', `"${'ä🙂'.repeat(50_000)}"`);
    await caughtUp(world(), stream, 2);
    expect(runs.ofPartition(0).map(({ key, data }) => [key, data])).toEqual([['k', 'many'], [undefined, '\r\n'], [undefined, '$-1'], ['\ufffd\u0000', 'nul in the key']]);
    expect(runs.ofPartition(1).map(({ data }) => data)).toEqual(['ä🙂'.repeat(50_000)]);
    expect((await world().client.deadLetters(ref(stream))).map(({ reason }) => reason)).toEqual(['missing-data']);
  });

  it('keys of any order are handled in the order of the stream', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { concurrency: 8 });
    await world().client.sendMany(stream, messages(800, 40));
    await caughtUp(world(), stream, 4);
    for (let key = 0; key < 40; key++) {
      expect(runs.ofKey(`k${key}`).map(({ data }) => data)).toEqual(messages(800, 40).filter((message) => message.key === `k${key}`).map(({ data }) => data));
    }
  });
});

onTopologies(['standalone'], 'wire format in pieces', (world) => {
  it.each([3, 17, 1_000])('of %i bytes, in both directions: nothing is lost or mangled', async (sliceBytes) => {
    const stream = await world().stream(3);
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    proxy.setFaults({ sliceBytes });
    const engine = { connection: { url: proxy.url }, session: { ttlMs: 30_000 }, commandTimeoutMs: 10_000 };
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { engine });
    const batch = messages(60, 10).map((message, i) => ({ ...message, key: `ключ ${message.key}`, data: { n: i, text: '🙂\r\n$5\r\n'.repeat(i % 8) }, headers: { ä: 'ö' } }));
    const sent = await world().engine(engine).partitions().sendMany(stream, batch);
    await caughtUp(world(), stream, 3);
    expect(runs.contexts).toHaveLength(60);
    for (const [i, { id, partition }] of sent.entries()) {
      const run = runs.ofPartition(partition).find((context) => context.id === id)!;
      expect([run.key, run.data, { ...run.headers }]).toEqual([batch[i]!.key, batch[i]!.data, { ä: 'ö' }]);
    }
    expect(proxy.stats.slices).toBeGreaterThan(0);
  });
});
