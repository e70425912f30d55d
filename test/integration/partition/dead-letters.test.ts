import { expect, it } from 'vitest';
import { failure } from '../support/failure.js';
import { waitUntil } from '../../support/wait.js';
import { InvalidOptionsError } from './support/engine.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, keysOf } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const retry = { maxAttempts: 3, initialMs: 5, maxMs: 5 };

/** An entry as a program in another language might add it. */
async function xadd(world: World, stream: string, partition: number, ...fields: string[]): Promise<string> {
  const key = keysOf(stream, { shards: world.shards }).partition(partition);
  return String(await world.cli(['XADD', key, '*', ...fields]));
}

onTopologies(BOTH, 'dead letters', (world) => {
  it('after maxAttempts failures the message is parked as it was, with the reason, and its key goes on', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    const consumer = await world().consumer(stream, runs.handler(({ data }) => {
      if ((data as { n: number }).n === 1) throw new RangeError('broken beyond repair');
    }), { retry });
    const [place] = await world().client.sendMany(stream, [1, 2, 3].map((n) => ({ key: 'ключ', data: { n }, headers: { trace: 'a-b' } })));
    await caughtUp(world(), stream, 3);
    expect(runs.contexts.map(({ data, attempt }) => [(data as { n: number }).n, attempt])).toEqual([[1, 1], [1, 2], [1, 3], [2, 1], [3, 1]]);
    const [letter, ...more] = await world().client.deadLetters({ stream, group: 'group' });
    expect(more).toEqual([]);
    expect(letter).toMatchObject({
      reason: 'max-attempts', stream, group: 'group', partition: place!.partition, id: place!.id, key: 'ключ', data: '{"n":1}', attempts: 3,
    });
    expect(letter!.error).toContain('broken beyond repair');
    expect({ ...letter!.headers }).toEqual({ trace: 'a-b' });
    expect(Math.abs(letter!.at - Date.now())).toBeLessThan(5_000);
    const { fencingToken: token } = runs.contexts[0]!;
    expect(consumer.all('partition.deadLettered')).toMatchObject([
      { stream, group: 'group', partition: place!.partition, token, id: place!.id, key: 'ключ', reason: 'max-attempts', attempt: 3, error: { message: 'broken beyond repair' } },
    ]);
    expect(consumer.all('partition.retried')).toHaveLength(2);
    // For a person with nothing but a shell: its own fields stand apart from ours.
    const raw = (await world().cli(['XRANGE', keysOf(stream, { shards: world().shards }).dead(place!.partition), '-', '+'])) as [[string, string[]]];
    const fields = Object.fromEntries(Array.from({ length: raw[0][1].length / 2 }, (_, i) => raw[0][1].slice(2 * i, 2 * i + 2) as [string, string]));
    expect(fields).toMatchObject({ reason: 'max-attempts', owner: consumer.session, token: String(token), 'entry.key': 'ключ', 'entry.data': '{"n":1}' });
  });

  it('with maxAttempts 1 nothing is tried twice', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => { throw new Error('no'); }), { retry: { maxAttempts: 1 }, concurrency: 4 });
    const sent = await world().client.sendMany(stream, messages(30, 6));
    await caughtUp(world(), stream, 2);
    expect(runs.contexts).toHaveLength(30);
    const letters = await world().client.deadLetters({ stream, group: 'group' });
    expect(letters.map(({ partition, id }) => `${partition}/${id}`).sort()).toEqual(sent.map(({ partition, id }) => `${partition}/${id}`).sort());
  });

  it('what no handler can be given is parked at once, and its neighbours are handled', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const ids = [
      await xadd(world(), stream, 0, 'key', 'k', 'data', '1'),
      await xadd(world(), stream, 0, 'key', 'k', 'data', '{"broken'),
      await xadd(world(), stream, 0, 'key', 'k', 'data', '2'),
      await xadd(world(), stream, 0, 'something', 'else'),
      await xadd(world(), stream, 0, 'data', '3', 'headers', 'not json', 'reason', 'mine', 'id', '7'),
      await xadd(world(), stream, 0, 'key', 'k', 'data', '4', 'headers', '{"__proto__":"x","constructor":"y","n":1,"ok":"z"}'),
    ];
    const consumer = await world().consumer(stream, runs.handler(), { concurrency: 3 });
    await caughtUp(world(), stream, 1);
    expect(runs.ofKey('k').map(({ data }) => data)).toEqual([1, 2, 4]);
    expect(runs.data).toHaveLength(4);
    expect({ ...runs.of(ids[4]!)[0]!.headers }).toEqual({});
    const { headers } = runs.of(ids[5]!)[0]!;
    expect(Object.keys(headers).sort()).toEqual(['__proto__', 'constructor', 'ok']);
    expect(Object.getPrototypeOf(headers)).toBeNull();
    const letters = await world().client.deadLetters({ stream, group: 'group' });
    expect(letters.map(({ id, reason, key, data, attempts }) => ({ id, reason, key, data, attempts })).sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: ids[1], reason: 'invalid-json', key: 'k', data: '{"broken', attempts: 1 },
      { id: ids[3], reason: 'missing-data', key: undefined, data: '', attempts: 1 },
    ]);
    expect(consumer.all('partition.retried')).toEqual([]);
  });

  it('the fields of an entry never pass for ours', async () => {
    const stream = await world().stream(1);
    const id = await xadd(world(), stream, 0, 'reason', 'forged', 'id', '1-1', 'attempts', '99', 'at', '1', 'data', 'nope');
    await world().consumer(stream, () => undefined);
    await caughtUp(world(), stream, 1);
    const [letter] = await world().client.deadLetters({ stream, group: 'group' });
    expect(letter).toMatchObject({ id, reason: 'invalid-json', attempts: 1, data: 'nope' });
    expect(letter!.at).toBeGreaterThan(1_000_000);
  });

  it('whatever an error has for a message: the letter is whole, and so is what is committed with it', async () => {
    const stream = await world().stream({ partitions: 6, shards: 1 });
    const consumer = await world().consumer(stream, (_, { partition }) => {
      if (partition < 3) throw Object.assign(new Error('x'), { message: ['name is empty', 'age is negative', 'y'.repeat(10_000)] });
    }, { retry: { maxAttempts: 1 } });
    const sent = await world().client.sendMany(stream, [0, 1, 2, 3, 4, 5].map((partition) => ({ key: `k${partition}`, data: { partition }, headers: { a: 'b' }, partition })));
    await caughtUp(world(), stream, 6);
    const letters = await world().client.deadLetters({ stream, group: 'group' });
    expect(letters.map(({ partition, id, key, data, headers }) => ({ partition, id, key, data, headers: { ...headers } })).sort((a, b) => a.partition - b.partition))
      .toEqual([0, 1, 2].map((partition) => ({ ...sent[partition], key: `k${partition}`, data: JSON.stringify({ partition }), headers: { a: 'b' } })));
    for (const { error } of letters) {
      expect(error).toMatch(/^name is empty,age is negative,y+$/);
      expect(error).toHaveLength(2_000);
    }
    expect(consumer.all('partition.lost')).toEqual([]);
  });

  it('are listed newest first, as many as asked for', async () => {
    const stream = await world().stream(6);
    const consumer = await world().consumer(stream, () => { throw new Error('no'); }, { retry: { maxAttempts: 1 } });
    for (let n = 0; n < 5; n++) {
      await world().client.send(stream, { partition: n, data: n });
      await consumer.saw('partition.deadLettered', n + 1);
      await caughtUp(world(), stream, 6);
    }
    const list = async (limit?: number): Promise<string[]> => (await world().client.deadLetters({ stream, group: 'group' }, { limit })).map(({ data }) => data);
    expect(await list()).toEqual(['4', '3', '2', '1', '0']);
    expect(await list(2)).toEqual(['4', '3']);
    expect(await list(Infinity)).toHaveLength(5);
    expect(await failure(list(NaN as number))).toBeInstanceOf(InvalidOptionsError);
    expect(await world().client.deadLetters({ stream, group: 'other' })).toEqual([]);
  });

  it('a failure of many keys at once parks each of them once', async () => {
    const stream = await world().stream(6);
    await world().consumer(stream, () => { throw new Error('no'); }, { retry: { maxAttempts: 2, initialMs: 1, maxMs: 1 }, concurrency: 8 });
    await world().client.sendMany(stream, messages(300, 60));
    await caughtUp(world(), stream, 6);
    const letters = await waitUntil(() => world().client.deadLetters({ stream, group: 'group' }, { limit: 1_000 }), { what: 'the letters are read' });
    expect(new Set(letters.map(({ data }) => data)).size).toBe(300);
    expect(letters).toHaveLength(300);
  });
});
