import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume, makeConsumer } from './support/consumer.js';
import type { QueueProducer } from './support/engine.js';
import { numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained } from './support/state.js';
import { onTopologies, type World } from './support/world.js';

const SHARDS = 2;
const QUICK = { session: { ttlMs: 1_200, heartbeatMs: 300 } };

/** A key of a producer's messages that lie in this shard. */
async function keyFor(producer: QueueProducer, shard: number): Promise<string> {
  for (let n = 0; ; n++) if ((await producer.send('warm', { key: `k${n}` })).shard === shard) return `k${n}`;
}

/** Calls that a client made in all, those inside scripts not counted. */
async function calls(world: World): Promise<number> {
  const text = String(await world.cli(['INFO', 'commandstats'], 'x'));
  return ['evalsha', 'eval', 'xreadgroup', 'xgroup|create'].reduce((sum, name) => sum + Number(new RegExp(`cmdstat_${name.replace('|', '\\|')}:calls=(\\d+)`).exec(text)?.[1] ?? 0), 0);
}

interface Rejected { readonly data: string; readonly error: Error }

/** Messages of every kind, in one batch. */
async function sendAll(producer: QueueProducer, key: string, tag: string): Promise<{ accepted: string[]; rejected: Rejected[] }> {
  const kinds = { plain: {}, id: { id: tag }, delayed: { delayMs: 30 }, fail: {}, park: {} };
  const accepted: string[] = [];
  const rejected: Rejected[] = [];
  await Promise.all(Object.entries(kinds).map(([kind, options]) => {
    const data = `${kind} ${tag}`;
    return producer.send(data, { key, ...options }).then(() => accepted.push(data), (error: Error) => rejected.push({ data, error }));
  }));
  return { accepted, rejected };
}

/** Who is told that a key is of the wrong type. */
const KEYS = {
  messages: 'the sender, and reader.error', delayed: 'the sender, and the error hook', ids: 'the sender', origins: 'the sender', producers: 'the sender',
  sessions: 'the error hook', retries: 'the error hook', attempts: 'the error hook', control: 'the error hook', dead: 'the error hook',
  members: 'who starts', names: 'who starts',
} as const;

onTopologies(['standalone'], 'a key of a shard that is of another type', (world) => {
  it.each(Object.entries(KEYS))('%s: %s; the other shard goes on, nobody is busy with it, and without the key all is well by itself', async (name, who) => {
    const queue = await world().queue({ shards: SHARDS });
    const runs = new Runs();
    const unheard: unknown[] = [];
    const hear = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', hear);
    world().onEnd(() => process.off('unhandledRejection', hear));
    const consumerName = world().fresh('pod');
    const a = await consume(world(), queue, runs.handler(async (ctx) => {
      if (String(ctx.data).startsWith('fail') && ctx.attempt === 1) throw new Error('once');
      if (String(ctx.data).startsWith('park')) await ctx.deadLetter('parked');
    }), { retry: { initialMs: 20 }, engine: { ...QUICK, consumerName } });
    const producer = world().client.queue(queue);
    const [bad, good] = [await keyFor(producer, 0), await keyFor(producer, 1)];
    await drained(world(), queue, { shards: SHARDS });

    const names = keysOf(queue, { shards: SHARDS, shard: 0 });
    const [key] = name === 'producers' ? (await world().allKeys()).filter((each) => each.startsWith(names.producers.replace('*', ''))) : [names[name as keyof typeof names]];
    await world().cli(['SET', key!, 'odd']);
    await world().cli(['PUBLISH', names.bell, 'look']);
    const odd = await sendAll(producer, bad, 'odd');
    const fine = await sendAll(producer, good, 'fine');
    expect(fine.rejected).toEqual([]);
    await waitUntil(() => fine.accepted.every((data) => runs.data.includes(data)) && runs.ofData('fail fine').length === 2, { what: 'the other shard goes on', timeoutMs: 4_000 });

    const told = { sender: () => odd.rejected.map(({ error }) => error), hook: () => a.errors, reader: () => a.all('reader.error').map(({ error }) => error) };
    const heard = (list: () => readonly Error[]): Promise<unknown> => waitUntil(() => list().some(({ message }) => message.includes('WRONGTYPE')), { what: `told of ${name}`, timeoutMs: 5_000 });
    if (who.includes('sender')) await heard(told.sender);
    if (who.includes('hook')) await heard(told.hook);
    if (who.includes('reader')) await heard(told.reader);
    if (who === 'who starts') expect(await failure(makeConsumer(world(), queue, () => undefined, { engine: { consumerName: world().fresh('other') } }).engine.start())).toMatchObject({ message: expect.stringContaining('WRONGTYPE') });
    const before = await calls(world());
    const errors = a.errors.length;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await calls(world())) - before, 'calls in 1.5 s').toBeLessThan(60);
    expect(a.errors.length - errors, 'errors in 1.5 s').toBeLessThan(12);

    await world().cli(['DEL', key!]);
    const after = await sendAll(producer, bad, 'after');
    expect(after.rejected).toEqual([]);
    await waitUntil(() => [...odd.accepted, ...after.accepted].every((data) => runs.data.includes(data)) && runs.ofData('fail after').length >= 2, { what: 'it goes on by itself', timeoutMs: 6_000 });
    await drained(world(), queue, { shards: SHARDS, timeoutMs: 8_000 });
    await waitUntil(() => a.inner.sessions().every((session) => session !== undefined), { what: 'it is a member of both' });
    // Refused for its type is refused for good: nothing of it was stored.
    for (const { data } of odd.rejected) expect(runs.data).not.toContain(data);
    // A session that the key took along may leave work to be done once more; nothing else may.
    if (name !== 'sessions') expect(runs.data.filter((data) => !String(data).startsWith('fail') && data !== 'warm')).toHaveLength(new Set(runs.data.filter((data) => !String(data).startsWith('fail') && data !== 'warm')).size);
    expect(unheard).toEqual([]);
  }, 40_000);

  it('messages: what is sent by others, of any type that is no stream, harms no start of another queue', async () => {
    const [queue, other] = [await world().queue(), await world().queue()];
    await world().cli(['HSET', keysOf(queue).messages, 'a', 'b']);
    expect(await failure(makeConsumer(world(), queue, () => undefined).engine.start())).toMatchObject({ message: expect.stringContaining('WRONGTYPE') });
    expect(await failure(world().client.queue(queue).sendMany(numbers(3).map((data) => ({ data }))))).toMatchObject({ message: expect.stringContaining('WRONGTYPE') });
    const runs = new Runs();
    await consume(world(), other, runs.handler());
    await world().client.queue(other).send(1);
    await drained(world(), other);
    expect(await storedIn(world(), other)).toEqual([]);
  });
}, { own: true });
