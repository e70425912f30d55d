import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { childOwns, Log, spawnChild, startChild } from './fixtures/child.js';
import type { PartitionContext } from './support/engine.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, groupRow, keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const patient = { session: { ttlMs: 30_000 }, shutdown: { drainMs: 5_000 } };

onTopologies(BOTH, 'graceful stop', (world) => {
  it('under load runs nothing twice and loses nothing; the peer goes on at once', async () => {
    const stream = await world().stream(6);
    const runs = new Runs();
    const tuning = { concurrency: 4, engine: patient };
    const body = (): Promise<void> => sleep(2);
    const a = await world().consumer(stream, runs.handler(body), tuning);
    const b = await world().consumer(stream, runs.handler(body), tuning);
    await Promise.all([a.owns(3), b.owns(3)]);
    let sent = 0;
    let sending = true;
    world().onEnd(() => { sending = false; });
    const load = (async () => {
      for (; sending; sent += 12) await world().client.sendMany(stream, messages(12, 24, sent)).then(() => sleep(4));
    })();
    load.catch(() => undefined);
    await waitUntil(() => runs.contexts.length > 100, { what: 'they are at work' });
    const stoppedAt = performance.now();
    await a.stop();
    await b.owns(6);
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    const after = runs.contexts.length;
    await waitUntil(() => runs.contexts.length > after + 100, { what: 'it goes on' });
    sending = false;
    await load;
    await caughtUp(world(), stream, 6);
    expect(runs.contexts).toHaveLength(sent);
    expect(runs.distinct).toBe(sent);
    expect(runs.contexts.every(({ attempt, signal }) => attempt === 1 && !signal.aborted)).toBe(true);
    for (let k = 0; k < 24; k++) {
      const numbers = runs.ofKey(`k${k}`).map(({ data }) => Number(String(data).slice(1)));
      expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    }
    expect([...a.errors, ...b.errors]).toEqual([]);
    expect(a.all('partition.lost')).toEqual([]);
    expect(b.all('partition.assigned').slice(-3).every(({ from }) => from === 'free')).toBe(true);
    expect(a.all('partition.terminated')).toMatchObject([{ reason: 'closed', stream, group: 'group' }]);
    expect(a.all('session.left')).toHaveLength(1);
  });

  it('hands over what is idle at once while one handler takes its time, and waits for that one', async () => {
    const stream = await world().stream(4);
    const finish = gate();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(() => finish.opened), { engine: patient });
    const b = await world().consumer(stream, runs.handler(), { engine: patient });
    const [slow] = await a.owns(2);
    await b.owns(2);
    await world().client.send(stream, { partition: slow!, key: 'k', data: 'slow' });
    await waitUntil(() => runs.contexts.length === 1, { what: 'it runs' });
    const stoppedAt = performance.now();
    const stopped = a.stop();
    await b.owns(3);
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    await world().client.send(stream, { partition: slow!, key: 'k', data: 'next' });
    finish.open();
    await stopped;
    await b.owns(4);
    await caughtUp(world(), stream, 4);
    expect(runs.data).toEqual(['slow', 'next']);
    expect(runs.contexts[0]!.signal.aborted).toBe(false);
  });

  it('handlers still running after drainMs are aborted, and their messages run elsewhere', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    const late = gate();
    const outcomes: unknown[] = [];
    const a = await world().consumer(stream, async (_, context) => {
      contexts.push(context);
      await late.opened;
      outcomes.push(await context.ack().catch((error: unknown) => error));
    }, { engine: { ...patient, shutdown: { drainMs: 250 } } });
    await world().client.send(stream, { key: 'k', data: 1 });
    await waitUntil(() => contexts.length === 1, { what: 'it runs' });
    const stoppedAt = performance.now();
    await a.stop();
    expect(performance.now() - stoppedAt).toBeGreaterThanOrEqual(248);
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    expect(contexts[0]!.signal.reason).toMatchObject({ code: 'PARTITION_LOST', reason: 'shutdown' });
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { engine: patient });
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1]);
    late.open();
    await waitUntil(() => outcomes.length === 1, { what: 'the late one has spoken' });
    expect(outcomes[0]).toMatchObject({ code: 'FENCED' });
  });

  it('does not wait for retries: the next owner takes them up', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(() => { throw new Error('no'); }), { retry: { initialMs: 6_000, jitter: 0 }, engine: patient });
    await world().client.sendMany(stream, messages(10, 10));
    await a.saw('partition.retried', 10);
    const stoppedAt = performance.now();
    await a.stop();
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    const next = new Runs();
    await world().consumer(stream, next.handler());
    await caughtUp(world(), stream, 2);
    expect(next.contexts.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 10 }, () => 2));
  });

  it('is idempotent, also when it never started, and while it starts', async () => {
    const stream = await world().stream(2);
    const idle = world().engine();
    idle.addPartitionConsumer({ stream, group: 'group' }, { message: () => undefined });
    await Promise.all([idle.stop(), idle.stop()]);
    await expect(idle.start()).rejects.toMatchObject({ code: 'CLOSED' });
    const starting = world().engine();
    const consumer = starting.addPartitionConsumer({ stream, group: 'group' }, { message: () => undefined });
    const started = starting.start().catch((error: unknown) => error);
    await starting.stop();
    await started;
    expect(consumer.session).toBeUndefined();
    await waitUntil(async () => (await world().client.members({ stream, group: 'group' })).length === 0, { what: 'nobody is a member' });
  });

  it('of one consumer leaves the others of its application alone', async () => {
    const [one, two] = [await world().stream(2), await world().stream(2)];
    const runs = new Runs();
    const engine = world().engine(patient);
    engine.addPartitionConsumer({ stream: one, group: 'group' }, { message: runs.handler() });
    engine.addPartitionConsumer({ stream: two, group: 'group' }, { message: runs.handler() });
    await engine.start();
    expect(await engine.partitions().shutdown({ stream: one, group: 'group' })).toBe(true);
    expect(await engine.partitions().shutdown({ stream: one, group: 'nobody' })).toBe(false);
    await engine.partitions().sendMany(one, messages(10, 10));
    await engine.partitions().sendMany(two, messages(10, 10));
    await caughtUp(world(), two, 2);
    expect(runs.contexts.every(({ stream }) => stream === two)).toBe(true);
    expect(runs.contexts).toHaveLength(10);
    expect(await world().client.members({ stream: one, group: 'group' })).toEqual([]);
  });

  it('leaves no key but declared state', async () => {
    const stream = await world().stream(3);
    const tuning = { retry: { maxAttempts: 2, initialMs: 5 } };
    const consumers = await Promise.all(['a', 'b'].map((consumerName) =>
      world().consumer(stream, (data) => { if (data === 'm1') throw new Error('no'); }, { ...tuning, engine: { consumerName } })));
    await consumers[0]!.client.sendMany(stream, messages(30, 10));
    await caughtUp(world(), stream, 3);
    const mine = async (): Promise<string[]> => (await world().allKeys()).filter((key) => key.includes(stream));
    expect((await mine()).some((key) => key.includes(':producer:'))).toBe(true);
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    const shards = world().shards;
    const keys = keysOf(stream, { shards });
    const declared = [
      keys.registration, keys.group, keys.owners, // the generation; the highest epoch of each partition
      ...[0, 1, 2].flatMap((partition) => [keys.partition(partition), keys.positions(partition)]), keys.dead(Number((await world().client.deadLetters({ stream, group: 'group' }))[0]!.partition)),
    ];
    // A producer's record outlives it for a minute, for copies of its batches that are still on their way.
    const all = await mine();
    const records = all.filter((key) => key.includes(':producer:'));
    for (const key of records) expect(Number(await world().cli(['PTTL', key]))).toSatisfy((ttl: number) => ttl > 0 && ttl <= 60_000);
    const left = all.filter((key) => !records.includes(key));
    expect(left.filter((key) => !declared.includes(key) && key !== keys.target)).toEqual([]);
    for (const key of [keys.registration, keys.owners, keys.partition(0), keys.partition(1), keys.partition(2)]) expect(left).toContain(key);
    // What is left of the owners says that nobody is one.
    const owners = (await world().cli(['HVALS', keys.owners])) as string[];
    expect(owners.every((owner) => owner.startsWith('- '))).toBe(true);
  });

  it.each(['idle', 'hold', 'ignore', 'throw'] as const)('a process ends by itself afterwards (%s)', async (how) => {
    const stream = await world().stream(3);
    const log = new Log(world());
    const child = await startChild(world(), log, { stream, tuning: { retry: { initialMs: 60_000 } }, options: { session: { ttlMs: 30_000 }, shutdown: { drainMs: 200 } } });
    await childOwns(child, 3);
    if (how !== 'idle') {
      await world().client.send(stream, { key: 'k', data: { n: 1, how } });
      await waitUntil(() => log.began(1).length === 1, { what: 'it runs' });
    }
    child.send('stop');
    await child.waitFor(({ type }) => type === 'stopped', 5_000, 'the stop');
    const stoppedAt = performance.now();
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - stoppedAt).toBeLessThan(2_000);
  });
});

onTopologies(['standalone'], 'graceful stop in trouble', (world) => {
  it('a process ends by itself also when it has lost a session with a handler at work, and got its partitions back', async () => {
    const stream = await world().stream(2);
    const log = new Log(world());
    const child = await startChild(world(), log, { stream, options: { session: { ttlMs: 1_000 }, shutdown: { drainMs: 200 } } });
    const { session } = await child.waitFor(({ type }) => type === 'session.joined', 5_000, 'its session');
    await world().client.send(stream, { key: 'k', data: { n: 1, how: 'ignore' } });
    await waitUntil(() => log.began(1).length === 1, { what: 'it runs' });
    await world().cli(['ZADD', keysOf(stream).sessions, 1, session!]);
    await waitUntil(() => log.began(1).length === 2, { what: 'it runs again' });
    child.send('stop');
    await child.waitFor(({ type }) => type === 'stopped', 5_000, 'the stop');
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });

  it('a start that fails leaves nothing that keeps the process', async () => {
    const stream = await world().stream(1);
    const log = new Log(world());
    await startChild(world(), log, { stream, options: { consumerName: 'taken' } });
    const second = spawnChild(world(), log, { stream, options: { consumerName: 'taken' } });
    await second.waitFor(({ type, code }) => type === 'failed' && code === 'CONSUMER_NAME_IN_USE', 8_000, 'the refusal');
    expect(await second.exited).toEqual({ code: 0, signal: null });
    const third = spawnChild(world(), log, { stream: 'nobody-registered-it', options: { partition: { registrationWaitMs: 200 } } });
    await third.waitFor(({ type, code }) => type === 'failed' && code === 'STREAM_NOT_REGISTERED', 8_000, 'the refusal');
    expect(await third.exited).toEqual({ code: 0, signal: null });
  });

  it.each(['is gone', 'does not answer'] as const)('is bounded while Redis %s', async (how) => {
    const { topology } = world();
    if (topology.kind !== 'standalone') throw new Error('for one server');
    const proxy = await startProxy(topology.server.port);
    world().onEnd(() => proxy.stop());
    const stream = await world().stream(3);
    const finish = gate();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(() => finish.opened), {
      engine: { connection: { url: proxy.url }, commandTimeoutMs: 500, session: { ttlMs: 30_000 }, shutdown: { drainMs: 500 } },
    });
    await a.owns(3);
    const session = a.session!;
    await world().client.sendMany(stream, messages(6, 6));
    await waitUntil(() => runs.contexts.length >= 2, { what: 'it is at work' });
    if (how === 'is gone') await proxy.stop();
    else proxy.blackhole(true);
    const unsent = a.client.send(stream, { key: 'k', data: 'too late' }).catch((error: unknown) => error);
    const stoppedAt = performance.now();
    const stopped = a.stop();
    finish.open();
    await stopped;
    // Twice drainMs and the command timeout, and once more for what is to be sent.
    expect(performance.now() - stoppedAt).toBeLessThan(4_500);
    expect(await unsent).toBeInstanceOf(Error);
    expect(a.owned).toEqual([]);
    expect(a.session).toBeUndefined();
    expect((await groupRow(world(), stream, runs.contexts[0]!.partition))?.lastDeliveredId).toBe('0-0');
    // Whoever was not told waits for the deadline; nothing is lost.
    await world().cli(['ZADD', keysOf(stream).sessions, 1, session]);
    const next = new Runs();
    await world().consumer(stream, next.handler());
    await caughtUp(world(), stream, 3);
    expect(next.distinct).toBe(6);
  });

  it('leaves no connection', async () => {
    const stream = await world().stream(4);
    const { topology } = world();
    if (topology.kind !== 'standalone') throw new Error('for one server');
    const clients = async (): Promise<number> => String(await topology.server.cli('CLIENT', 'LIST', 'TYPE', 'normal')).trim().split('\n').length
      + String(await topology.server.cli('CLIENT', 'LIST', 'TYPE', 'pubsub')).trim().split('\n').filter(Boolean).length;
    const before = await clients();
    const consumers = await Promise.all([1, 2].map(() => world().consumer(stream, () => undefined)));
    await consumers[0]!.client.sendMany(stream, messages(8, 8));
    await caughtUp(world(), stream, 4);
    expect(await clients()).toBeGreaterThan(before);
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    await waitUntil(async () => (await clients()) === before, { what: 'all connections are gone', timeoutMs: 10_000 });
  });
});
