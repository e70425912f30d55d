import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { InvalidOptionsError, StreamMismatchError, StreamNotRegisteredError, type StreamRegistration } from './support/engine.js';
import { failure } from '../support/failure.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, keysOf, partitionKey } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'registration', (world) => {
  async function scriptCalls(): Promise<number> {
    const stats = (await world().everywhere('INFO', 'commandstats')).map((text) => /cmdstat_evalsha:calls=(\d+)/.exec(String(text))?.[1] ?? '0');
    return stats.map(Number).reduce((sum, calls) => sum + calls, 0);
  }

  it('is kept in Redis under the documented key, with everything that must be equal', async () => {
    const name = world().name();
    await world().engine({ consumerName: 'billing-1' }).partitions().register({
      name, partitions: 6, shards: 2, partitioner: 'fnv1a', retention: { maxEntries: 500, keepMs: 1_000, whenFull: 'drop-oldest' },
    });
    const flat = (await world().cli(['HGETALL', keysOf(name).registration])) as string[];
    expect(flat.filter((_, i) => i % 2 === 0).sort()).toEqual(['at', 'by', 'definition']);
    const fields = Object.fromEntries([0, 2, 4].map((i) => [flat[i], flat[i + 1]]));
    expect(JSON.parse(fields['definition']!)).toEqual({ partitions: 6, shards: 2, partitioner: 'fnv1a', maxEntries: 500, keepMs: 1_000, whenFull: 'drop-oldest' });
    expect(fields['by']).toBe('billing-1');
    expect(Math.abs(Number(fields['at']) - Date.now())).toBeLessThan(60_000);
  });

  it('again, here or elsewhere, changes nothing', async () => {
    const name = world().name();
    const registration = { name, partitions: 3 };
    await Promise.all(Array.from({ length: 5 }, () => world().client.register(registration)));
    const before = await world().cli(['HGETALL', keysOf(name).registration]);
    await world().engine({ consumerName: 'another' }).partitions().register({ ...registration, shards: 1, retention: {}, partitioner: 'murmur2' });
    expect(await world().cli(['HGETALL', keysOf(name).registration])).toEqual(before);
  });

  it.each<[string, Partial<StreamRegistration>, RegExp]>([
    ['partitions', { partitions: 8 }, /partitions: 8 here, 6 as registered/],
    ['shards', { shards: 2 }, /shards: 2 here, 1 as registered/],
    ['partitioner', { partitioner: 'fnv1a' }, /partitioner: fnv1a here, murmur2 as registered/],
    ['a partitioner of its own', { partitioner: { name: 'mine', partition: () => 0 } }, /partitioner: mine here, murmur2 as registered/],
    ['maxEntries', { retention: { maxEntries: 10 } }, /maxEntries: 10 here, 1000000 as registered/],
    ['keepMs', { retention: { keepMs: 10 } }, /keepMs: 10 here, 0 as registered/],
    ['whenFull', { retention: { whenFull: 'drop-oldest' } }, /whenFull: drop-oldest here, reject as registered/],
    ['several things', { partitions: 7, retention: { keepMs: 10 } }, /partitions: 7 here, 6 as registered; keepMs: 10 here, 0 as registered/],
  ])('the first wins; one that differs in %s is refused and names both sides', async (_, change, message) => {
    const name = world().name();
    await world().engine({ consumerName: 'the-first' }).partitions().register({ name, partitions: 6 });
    const before = await world().cli(['HGETALL', keysOf(name).registration]);
    const late = world().engine({ consumerName: 'the-second' });
    const atRunTime = await failure<StreamMismatchError>(late.partitions().register({ name, partitions: 6, ...change }));
    expect(atRunTime).toBeInstanceOf(StreamMismatchError);
    expect(atRunTime).toMatchObject({ code: 'STREAM_MISMATCH', retriable: false, stream: name, registeredBy: 'the-first' });
    expect(atRunTime.message).toMatch(message);
    expect(atRunTime.message).toContain(name);
    const starting = world().engine();
    starting.registerStream({ name, partitions: 6, ...change });
    expect(await failure(starting.start())).toBeInstanceOf(StreamMismatchError);
    expect(await world().cli(['HGETALL', keysOf(name).registration])).toEqual(before);
  });

  it('a refused registration does not stick: the process may register as the first did, and send', async () => {
    const name = world().name();
    await world().client.register({ name, partitions: 6 });
    const late = world().engine().partitions();
    await failure(late.register({ name, partitions: 7 }));
    await late.register({ name, partitions: 6 });
    expect(await late.send(name, { partition: 5, data: 1 })).toMatchObject({ partition: 5 });
  });

  it('a process that knew the stream by name only is refused all the same when it registers otherwise', async () => {
    const name = world().name();
    await world().client.register({ name, partitions: 6 });
    const late = world().engine().partitions();
    await late.send(name, { data: 1 });
    expect(await failure(late.register({ name, partitions: 7 }))).toBeInstanceOf(StreamMismatchError);
    await late.register({ name, partitions: 6 });
    await late.send(name, { data: 1 });
  });

  it('a process that knew the stream by name only can send by key once it registers the partitioner', async () => {
    const name = world().name();
    const registration = { name, partitions: 4, partitioner: { name: 'last', partition: (_: string, partitions: number) => partitions - 1 } };
    await world().client.register(registration);
    const late = world().engine().partitions();
    await late.send(name, { data: 1 });
    await late.register(registration);
    expect(await late.send(name, { key: 'x', data: 1 })).toMatchObject({ partition: 3 });
  });

  it('two differing ones of one application are refused before Redis is asked', async () => {
    const engine = world().engine();
    const name = world().name();
    engine.registerStream({ name, partitions: 3 });
    engine.registerStream({ name, partitions: 3 });
    expect(() => engine.registerStream({ name, partitions: 4 })).toThrow(/registered twice.*partitions: 4 here, 3 as registered/s);
    await engine.start();
    expect(() => engine.registerStream({ name: world().name(), partitions: 4 })).toThrow(/before the engine is started/);
  });

  it.each<[object, RegExp]>([
    [{ name: 'no spaces', partitions: 1 }, /name/],
    [{ name: 'x' }, /partitions: must be a whole number from 1 to 10000/],
    [{ name: 'x', partitions: 0 }, /partitions/],
    [{ name: 'x', partitions: 10_001 }, /partitions/],
    [{ name: 'x', partitions: 2.5 }, /partitions/],
    [{ name: 'x', partitions: 2, shards: 3 }, /shards: must be at most the number of partitions, 2/],
    [{ name: 'x', partitions: 2, namespace: 'a:b' }, /namespace/],
    [{ name: 'x', partitions: 2, partitioner: 'crc32' }, /partitioner/],
    [{ name: 'x', partitions: 2, partitioner: { name: 'murmur2', partition: () => 0 } }, /partitioner/],
    [{ name: 'x', partitions: 2, retention: { maxEntries: 0 } }, /maxEntries/],
    [{ name: 'x', partitions: 2, retention: { whenFull: 'block' } }, /whenFull/],
    [{ name: 'x', partitions: 2, retention: { keep: 1 } }, /keep/],
    [{ name: 'x', partitions: 2, retension: {} }, /retension/],
    [{ name: 'x', partitions: 2, connection: 'other' }, /connection.*default/],
    [{ name: '{x}', partitions: 0, shards: 0, retention: { keepMs: -1 } }, /name[^]*partitions[^]*shards[^]*keepMs/],
  ])('refuses %j', async (registration, message) => {
    const error = await failure(world().client.register(registration as StreamRegistration));
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(message);
  });

  it('another process finds it by its name, to consume and to send', async () => {
    const stream = await world().stream({ partitions: 4, partitioner: 'fnv1a' });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(4);
    const sent = await world().engine().partitions().sendMany(stream, messages(40, 10));
    await caughtUp(world(), stream, 4);
    expect(runs.ids.sort()).toEqual(sent.map(({ partition, id }) => `${partition}/${id}`).sort());
  });

  it('nobody has registered it: said to a consumer and to a producer, by name, and nothing is made', async () => {
    const stream = world().name();
    const soon = { partition: { registrationWaitMs: 300 } };
    const started = await failure<StreamNotRegisteredError>(world().consumer(stream, () => undefined, { engine: soon }));
    expect(started).toBeInstanceOf(StreamNotRegisteredError);
    expect(started).toMatchObject({ code: 'STREAM_NOT_REGISTERED', stream });
    expect(started.message).toMatch(/consumer of group "group".*register/s);
    expect(started.message).toContain(`"${stream}"`);
    const { client } = { client: world().engine(soon).partitions() };
    const sent = await failure<StreamNotRegisteredError>(client.send(stream, { data: 1 }));
    expect(sent).toBeInstanceOf(StreamNotRegisteredError);
    expect(sent.message).toMatch(/^producer: nobody has registered/);
    for (const call of [client.sendMany(stream, [{ data: 1 }]), client.lag({ stream, group: 'g' }), client.seek({ stream, group: 'g' }, 'earliest'), client.pause({ stream, group: 'g' }), client.assignment({ stream, group: 'g' })]) {
      expect(await failure(call)).toBeInstanceOf(StreamNotRegisteredError);
    }
    expect((await world().allKeys()).filter((key) => key.includes(stream))).toEqual([]);
    // And once it is there, the same objects work.
    await world().client.register({ name: stream, partitions: 1 });
    await client.send(stream, { data: 1 });
  });

  it('consumers and producers that come first wait for the one who registers', async () => {
    const stream = world().name();
    const runs = new Runs();
    const before = await scriptCalls();
    const starting = world().consumer(stream, runs.handler(), { engine: { partition: { registrationWaitMs: 8_000 } } });
    const producer = world().engine({ partition: { registrationWaitMs: 8_000 } }).partitions();
    const sent = producer.sendMany(stream, messages(10, 3));
    const single = producer.send(stream, { key: 'k0', data: 'last' });
    let settled = false;
    void Promise.allSettled([starting, sent, single]).then(() => { settled = true; });
    await waitUntil(async () => (await scriptCalls()) >= before + 4, { what: 'they have asked, and asked again' });
    expect(settled).toBe(false);
    await world().client.register({ name: stream, partitions: 3, shards: world().shards });
    await starting;
    expect(await sent).toHaveLength(10);
    await single;
    await caughtUp(world(), stream, 3);
    expect(runs.distinct).toBe(11);
  });

  it('a stop ends the wait of a consumer', async () => {
    const engine = world().engine({ partition: { registrationWaitMs: 60_000 }, startTimeoutMs: 60_000 });
    engine.addPartitionConsumer({ stream: world().name(), group: 'g' }, { message: () => undefined });
    const before = await scriptCalls();
    const started = engine.start().then(() => undefined, (error: Error) => error);
    await waitUntil(async () => (await scriptCalls()) > before, { what: 'it has asked' });
    const from = performance.now();
    await engine.stop();
    await started;
    expect(performance.now() - from).toBeLessThan(5_000);
  });

  it('streams of one name in different namespaces do not meet', async () => {
    const name = world().name();
    const [red, blue, none] = [
      world().engine({ partition: { namespace: 'red' } }).partitions(), world().engine({ partition: { namespace: 'blue' } }).partitions(), world().client,
    ];
    await red.register({ name, partitions: 1 });
    await blue.register({ name, partitions: 2 });
    await none.register({ name, partitions: 3 });
    const runs = { red: new Runs(), blue: new Runs(), none: new Runs() };
    await Promise.all([
      world().consumer(name, runs.red.handler(), { namespace: 'red' }),
      world().consumer(name, runs.blue.handler(), { engine: { partition: { namespace: 'blue' } } }),
      world().consumer(name, runs.none.handler()),
    ]);
    await red.send(name, { data: 'red' });
    await red.send({ stream: name, namespace: 'blue' }, { data: 'blue' });
    await none.send(name, { data: 'none' });
    await caughtUp(world(), `red:${name}`, 1, { shards: 1 });
    await caughtUp(world(), `blue:${name}`, 2, { shards: 1 });
    await caughtUp(world(), name, 3, { shards: 1 });
    expect([runs.red.data, runs.blue.data, runs.none.data]).toEqual([['red'], ['blue'], ['none']]);
    expect(runs.red.contexts[0]!.stream).toBe(`red:${name}`);
    expect(await world().cli(['XLEN', partitionKey(world(), `red:${name}`, 0, 1)])).toBeLessThanOrEqual(1);
    expect(await red.sizes(name)).toHaveLength(1);
    expect(await blue.sizes(name)).toHaveLength(2);
    expect(await none.sizes({ stream: name, namespace: 'blue' })).toHaveLength(2);
    expect(await none.sizes(name)).toHaveLength(3);
    expect((await red.assignment({ stream: name, group: 'group' })).owners).toHaveLength(1);
  });
});
