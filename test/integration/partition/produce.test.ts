import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { BackpressureError, ClosedError, InvalidOptionsError, type OutgoingMessage, type SentMessage } from './support/engine.js';
import { failure } from '../support/failure.js';
import { messages } from './support/handlers.js';
import { entriesOf, partitionKey } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/** What a partition holds, as the data that was sent. */
async function dataOf(world: World, stream: string, partition: number): Promise<unknown[]> {
  return (await entriesOf(world, stream, partition)).map(({ fields }) => JSON.parse(fields['data']!) as unknown);
}

onTopologies(BOTH, 'producer', (world) => {
  it('resolves with the place where the message really is', async () => {
    const stream = await world().stream(12);
    const sent = await Promise.all(messages(60, 30).map((message) => world().client.send(stream, message)));
    expect(new Set(sent.map(({ partition }) => partition)).size).toBeGreaterThan(6);
    for (const [i, { partition, id }] of sent.entries()) {
      const rows = await world().cli(['XRANGE', partitionKey(world(), stream, partition), id, id]);
      expect(rows).toEqual([[id, ['key', `k${i % 30}`, 'data', `"m${i}"`]]]);
    }
  });

  it('keeps the order of a batch within each partition', async () => {
    const stream = await world().stream(6);
    const batch = messages(3_000, 50);
    const sent = await world().client.sendMany(stream, batch);
    await checkOrder(stream, batch, sent);
  });

  it('keeps the order of sends that nobody waited for, the very first ones included', async () => {
    const stream = await world().stream(6);
    const batch = messages(2_000, 50);
    const calls: Array<Promise<SentMessage>> = [];
    for (const [i, message] of batch.entries()) {
      calls.push(world().client.send(stream, message));
      if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
    }
    await checkOrder(stream, batch, await Promise.all(calls));
  });

  it('keeps the order of a mixture of single sends and batches', async () => {
    const stream = await world().stream(3);
    const batch = messages(300, 20);
    const calls: Array<Promise<SentMessage | SentMessage[]>> = [];
    for (let i = 0; i < batch.length; i += 10) {
      calls.push(world().client.send(stream, batch[i]!));
      calls.push(world().client.sendMany(stream, batch.slice(i + 1, i + 9)));
      calls.push(world().client.send(stream, batch[i + 9]!));
    }
    await checkOrder(stream, batch, (await Promise.all(calls)).flat());
  });

  async function checkOrder(stream: string, batch: readonly OutgoingMessage[], sent: readonly SentMessage[]): Promise<void> {
    const partitions = [...new Set(sent.map(({ partition }) => partition))];
    for (const partition of partitions) {
      const expected = batch.filter((_, i) => sent[i]!.partition === partition).map(({ data }) => data);
      expect(await dataOf(world(), stream, partition)).toEqual(expected);
    }
    expect(sent).toHaveLength(batch.length);
  }

  it('the key decides the partition, whoever sends', async () => {
    const stream = await world().stream(8);
    const other = world().engine().partitions();
    const first = await world().client.sendMany(stream, messages(100, 100));
    const second = await other.sendMany(stream, messages(100, 100));
    expect(second.map(({ partition }) => partition)).toEqual(first.map(({ partition }) => partition));
    expect(new Set(first.map(({ partition }) => partition)).size).toBe(8);
  });

  it('without a key: over all partitions; with a partition: that one, whatever the key says', async () => {
    const stream = await world().stream(6);
    const spread = await world().client.sendMany(stream, Array.from({ length: 12 }, (_, data) => ({ data })));
    expect(spread.map(({ partition }) => partition).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect((await entriesOf(world(), stream, 0))[0]!.fields).not.toHaveProperty('key');
    const chosen = await world().client.sendMany(stream, messages(10, 10).map((message) => ({ ...message, partition: 3 })));
    expect(chosen.map(({ partition }) => partition)).toEqual(Array.from({ length: 10 }, () => 3));
  });

  // Kafka's own vectors of Utils.murmur2, and FNV-1a's published ones.
  it.each([
    ['murmur2', { 21: -973932308, foobar: -790332482, abc: 479470107, 'a-little-bit-long-string': -985981536, 'a-little-bit-longer-string': -1486304829, lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971 }, 0x7fffffff],
    ['fnv1a', { a: 0xe40c292c, foobar: 0xbf9cf968, '': 0x811c9dc5 }, 0xffffffff],
  ] as const)('%s: the partitions that other clients compute', async (partitioner, hashes, mask) => {
    const stream = await world().stream({ partitions: 100, shards: world().shards, partitioner });
    for (const [key, hash] of Object.entries(hashes)) {
      const { partition } = await world().client.send(stream, { key, data: 0 });
      expect([key, partition]).toEqual([key, ((hash & mask) >>> 0) % 100]);
    }
  });

  it('a partitioner of the application: decides here, is asked for elsewhere, and is held to its range', async () => {
    const name = world().name();
    const registration = { name, partitions: 4, partitioner: { name: 'by-length', partition: (key: string, partitions: number) => (key === 'wrong' ? partitions : key.length % partitions) } };
    await world().client.register(registration);
    expect((await world().client.send(name, { key: 'xyz', data: 1 })).partition).toBe(3);
    const wrong = await failure(world().client.send(name, { key: 'wrong', data: 1 }));
    expect(wrong).toBeInstanceOf(InvalidOptionsError);
    expect(wrong.message).toMatch(/by-length.*from 0 to 3 \(got 4/s);
    const stranger = world().engine().partitions();
    expect((await failure(stranger.send(name, { key: 'xyz', data: 1 }))).message).toMatch(/by-length.*register it here too/s);
    expect((await stranger.send(name, { key: 'xyz', partition: 2, data: 1 })).partition).toBe(2);
    await stranger.register(registration);
    const informed = world().engine().partitions();
    await informed.register(registration);
    expect((await informed.send(name, { key: 'xyz', data: 1 })).partition).toBe(3);
  });

  it('carries any text as key, data and headers', async () => {
    const stream = await world().stream(2);
    const odd = ['', ' ', 'ключ', '🙂'.repeat(50), 'a"b\\c', 'x'.repeat(1_024), '__proto__', '-', '+', '*', '$'];
    const sent = await world().client.sendMany(stream, odd.map((text) => ({ key: text, data: { text, nul: '\0' }, headers: { [text]: `${text}\0` } })));
    for (const [i, { partition, id }] of sent.entries()) {
      const [[, flat]] = (await world().cli(['XRANGE', partitionKey(world(), stream, partition), id, id])) as [[string, string[]]];
      expect(flat!.filter((_, at) => at % 2 === 0)).toEqual(['key', 'data', 'headers']);
      expect(flat![1]).toBe(odd[i]);
      expect(JSON.parse(flat![3]!)).toEqual({ text: odd[i], nul: '\0' });
      expect(Object.entries(JSON.parse(flat![5]!) as object)).toEqual([[odd[i], `${odd[i]}\0`]]);
    }
  });

  const circular: { self?: unknown } = {};
  circular.self = circular;
  it.each<[string, unknown, RegExp]>([
    ['no message', null, /message: must be an object/],
    ['a number as key', { key: 7, data: 1 }, /message\.key/],
    ['a long key', { key: 'x'.repeat(1_025), data: 1 }, /message\.key.*1024/],
    ['a key with NUL', { key: 'a\0', data: 1 }, /message\.key/],
    ['a key with a line end', { key: 'a\n', data: 1 }, /message\.key/],
    ['a key with a control character', { key: '\u0085', data: 1 }, /message\.key/],
    ['a partition out of range', { partition: 4, data: 1 }, /message\.partition.*from 0 to 3/],
    ['half a partition', { partition: 0.5, data: 1 }, /message\.partition/],
    ['no partition', { partition: NaN, data: 1 }, /message\.partition/],
    ['circular data', { data: circular }, /message\.data.*JSON can carry/],
    ['a bigint', { data: 1n }, /message\.data/],
    ['too much data', { data: 'x'.repeat(16_777_216) }, /message\.data.*16777216/],
    ['headers that are no texts', { data: 1, headers: { a: 1 } }, /message\.headers/],
    ['headers as an array', { data: 1, headers: ['a'] }, /message\.headers/],
    ['several at once', { key: 1, partition: 9, data: 1n, headers: 1 }, /key[^]*partition[^]*data[^]*headers/],
  ])('refuses %s, and sends nothing of its batch', async (_, bad, message) => {
    const stream = await world().stream(4);
    const error = await failure(world().client.send(stream, bad as OutgoingMessage));
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(message);
    const batch = await failure(world().client.sendMany(stream, [{ data: 1 }, bad as OutgoingMessage, { data: 2 }]));
    expect(batch).toBeInstanceOf(InvalidOptionsError);
    expect(batch.message).toContain('messages[1]');
    expect((await world().allKeys()).filter((key) => key.includes(`{${stream}/`))).toEqual([]);
  });

  it('tells of a bad name as a rejection, not by throwing where nobody catches', async () => {
    const ok = await world().stream(1);
    const calls = [
      () => world().client.send('no spaces', { data: 1 }), () => world().client.sendMany('', [{ data: 1 }]),
      () => world().client.lag({ stream: 'a{b}', group: 'g' }), () => world().client.pause({ stream: ok, group: 'no spaces' }),
      () => world().client.seek({ stream: 'x:y', group: 'g' }, 'earliest'), () => world().client.assignment({ stream: ok, group: '' }),
      () => world().client.shutdown({ stream: ok, group: '' }), () => world().client.sizes('*'), () => world().client.deadLetters({ stream: ok, group: '*' }),
      () => world().client.send(undefined as never, { data: 1 }), () => world().client.lag(null as never), () => world().client.pause(undefined as never), () => world().client.seek(5 as never, 'latest'),
    ];
    for (const call of calls) {
      let answer: Promise<unknown>;
      expect(() => { answer = call(); }).not.toThrow();
      expect(await failure(answer!)).toBeInstanceOf(InvalidOptionsError);
    }
  });

  it('an empty batch is nothing', async () => {
    const stream = await world().stream(2);
    expect(await world().client.sendMany(stream, [])).toEqual([]);
  });

  it('a stop sends what is waiting, then refuses, and what is left of the producer ends by itself', async () => {
    const stream = await world().stream(6);
    const engine = world().engine();
    const calls = messages(5_000, 100).map((message) => engine.partitions().send(stream, message));
    await calls[0];
    const producer = engine.partitions().producer(stream);
    await engine.stop();
    const sent = await Promise.all(calls);
    expect(new Set(sent.map(({ partition, id }) => `${partition}/${id}`)).size).toBe(5_000);
    let kept = 0;
    for (let partition = 0; partition < 6; partition++) kept += Number(await world().cli(['XLEN', partitionKey(world(), stream, partition)]));
    expect(kept).toBe(5_000);
    const records = (await world().allKeys()).filter((key) => key.includes(`{${stream}/`) && key.includes('producer'));
    expect(records.length).toBeGreaterThan(0);
    for (const key of records) expect(Number(await world().cli(['PTTL', key]))).toBeLessThanOrEqual(60_000);
    expect(await failure(producer.send({ data: 1 }))).toBeInstanceOf(ClosedError);
    expect(await failure(producer.sendMany([{ data: 1 }]))).toBeInstanceOf(ClosedError);
    expect(await failure((async () => engine.partitions().send(world().name(), { data: 1 }))())).toBeInstanceOf(ClosedError);
  });

  it('a stop right after the first sends: they are sent, or refused, and none is left hanging', async () => {
    const stream = await world().stream(6);
    const engine = world().engine();
    const calls = messages(500, 100).map((message) => engine.partitions().send(stream, message));
    const settled = Promise.allSettled(calls);
    await engine.stop();
    const outcomes = await settled;
    const stored = new Set<string>();
    for (let partition = 0; partition < 6; partition++) for (const { id } of await entriesOf(world(), stream, partition)) stored.add(`${partition}/${id}`);
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') expect(stored).toContain(`${outcome.value.partition}/${outcome.value.id}`);
      else expect(outcome.reason).toBeInstanceOf(ClosedError);
    }
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(stored.size);
    expect(stored.size).toBe(500);
  });

  it('a stop right after a batch: it is sent as well, whether or not its stream was known', async () => {
    const stream = await world().stream(6);
    const engine = world().engine();
    const batch = engine.partitions().sendMany(stream, messages(500, 100));
    await engine.stop();
    const sent = await batch;
    const stored = new Set<string>();
    for (let partition = 0; partition < 6; partition++) for (const { id } of await entriesOf(world(), stream, partition)) stored.add(`${partition}/${id}`);
    expect(new Set(sent.map(({ partition, id }) => `${partition}/${id}`))).toEqual(stored);
    expect(stored.size).toBe(500);
  });

  it('a batch that is no list is refused', async () => {
    const stream = await world().stream(1);
    for (const batch of [{ data: 1 }, undefined, 'x']) expect(await failure(world().client.sendMany(stream, batch as never))).toBeInstanceOf(InvalidOptionsError);
  });
});

onTopologies(['standalone'], 'producer against a server that does not answer', (world) => {
  const port = (): number => world().topology.servers[0]!.port;

  it('is bounded in bytes: what does not fit is refused at once, what was accepted is sent', async () => {
    const stream = await world().stream(1);
    const proxy = await startProxy(port());
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url } }).partitions().producer(stream);
    await producer.send({ data: 'first' });
    proxy.blackhole(true);
    const data = 'x'.repeat(1_048_000);
    const outcomes: Array<SentMessage | Error | undefined> = Array.from({ length: 70 }, () => undefined);
    const calls = outcomes.map((_, i) => producer.send({ data }).then((sent) => { outcomes[i] = sent; }, (error: Error) => { outcomes[i] = error; }));
    await waitUntil(() => outcomes.some(Boolean), { what: 'the bound is reached' });
    const refused = outcomes.filter((outcome) => outcome instanceof BackpressureError);
    expect(refused.length).toBeGreaterThanOrEqual(70 - 64 - 2);
    expect(outcomes.filter((outcome) => outcome !== undefined)).toHaveLength(refused.length);
    expect(refused[0]).toMatchObject({ code: 'BACKPRESSURE', retriable: true });
    proxy.blackhole(false);
    await Promise.all(calls);
    expect(await world().cli(['XLEN', partitionKey(world(), stream, 0)])).toBe(1 + 70 - refused.length);
    await producer.send({ data: 'goes on' });
  });

  it('is bounded in messages, and before its stream is known as well', async () => {
    const stream = await world().stream(1);
    const proxy = await startProxy(port());
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url } }).partitions().producer(stream);
    proxy.blackhole(true);
    let refused = 0;
    let done = 0;
    const other: unknown[] = [];
    const call = (): void => void producer.send({ data: 1 }).then(() => { done++; }, (error: unknown) => {
      if (error instanceof BackpressureError) refused++;
      else other.push(error);
    });
    for (let i = 0; i < 100_600; i++) call();
    await waitUntil(() => refused > 0, { what: 'the bound is reached before anything is known', timeoutMs: 1_500 });
    proxy.blackhole(false);
    await waitUntil(() => done + refused + other.length === 100_600, { what: 'all are settled', timeoutMs: 20_000 });
    expect(other).toEqual([]);
    expect(refused).toBeLessThanOrEqual(600);
    expect(await world().cli(['XLEN', partitionKey(world(), stream, 0)])).toBe(done);
  });
});
