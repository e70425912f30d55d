import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { ClosedError, InvalidOptionsError, type OutgoingQueueMessage, QueueMismatchError, QueueNotRegisteredError } from './support/engine.js';
import { keysOf, readDelayed, storedIn } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

type Waiting = ReturnType<typeof readDelayed> & { shard: number; due: number };

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

onTopologies(BOTH, 'queue producer', (world) => {
  it('resolves with the place where the message really is, data alone or with all that goes with it', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    const plain = await Promise.all(numbers(300).map((n) => producer.send({ n })));
    const wide = await producer.sendMany(numbers(300).map((n) => ({ data: n, key: `k${n % 7}`, headers: { n: `${n}` }, id: `i${n}` })));
    const stored = new Map((await storedIn(world(), queue)).map(({ shard, id, fields }) => [`${shard}/${id}`, fields]));
    expect(stored.size).toBe(600);
    for (const [n, { shard, id, duplicate }] of plain.entries()) expect([duplicate, stored.get(`${shard}/${id}`)]).toEqual([false, { data: `{"n":${n}}` }]);
    for (const [n, { shard, id, duplicate }] of wide.entries()) expect([duplicate, stored.get(`${shard}/${id}`)]).toEqual([false, { data: `${n}`, key: `k${n % 7}`, headers: `{"n":"${n}"}`, id: `i${n}` }]);
  });

  it.each(['999999999999997', '9007199254740990', '18446744073709551613'])('also where somebody has set the stream\'s numbers to %s, next to where they end', async (number) => {
    const queue = await world().queue({ shards: 1 });
    const soon = String(Date.now() + 3_600_000);
    await world().cli(['XADD', keysOf(queue).messages, `${soon}-${number}`, 'data', '"first"']);
    const producer = world().client.queue(queue);
    const sent = [...(await producer.sendMany(numbers(5).map((data) => ({ data })))), ...(await producer.sendMany(numbers(5).map((data) => ({ data, headers: { a: 'b' } }))))];
    const stored = (await storedIn(world(), queue, 1)).slice(1);
    expect(stored.map(({ fields }) => Number(fields['data']))).toEqual([...numbers(5), ...numbers(5)]);
    expect(sent.map(({ id }) => id)).toEqual(stored.map(({ id }) => id));
  });

  it('uses all shards, on all masters; a key decides, whoever sends', async () => {
    const queue = await world().queue({ shards: 6 });
    const sent = await world().client.queue(queue).sendMany(numbers(60).map((data) => ({ data })));
    for (let shard = 0; shard < 6; shard++) expect(sent.filter((place) => place.shard === shard)).toHaveLength(10);
    const servers = new Set(await Promise.all(numbers(6).map(async (shard) => (await world().serverOf(keysOf(queue, { shards: 6, shard }).messages)).port)));
    expect(servers.size).toBe(world().topology.servers.length);
    const keyed = numbers(50).map((n) => ({ data: n, key: `key ${n}` }));
    const [mine, others] = await Promise.all([world().client, world().engine().queues()].map((client) => client.queue(queue).sendMany(keyed)));
    expect(mine!.map(({ shard }) => shard)).toEqual(others!.map(({ shard }) => shard));
    expect(new Set(mine!.map(({ shard }) => shard)).size).toBe(6);
  });

  it('shards take turns; while all are busy sixteen messages each', async () => {
    const queue = await world().queue({ shards: 6 });
    const producer = world().client.queue(queue);
    const send = (count: number): Array<Promise<{ shard: number }>> => numbers(count).map((n) => producer.send(n));
    await Promise.all(send(1)); // it knows the queue
    const first = send(12);
    for (let i = 0; i < 5; i++) await Promise.resolve(); // under way, and no answer can have come
    const shards = (await Promise.all(send(200))).map(({ shard }) => shard);
    const alone = (await Promise.all(first)).map(({ shard }) => shard);
    expect(new Set(alone.slice(0, 6)).size).toBe(6);
    expect(alone.slice(6)).toEqual(alone.slice(0, 6));
    const begin = shards.indexOf(0); // the round that was begun ends as it was
    expect(shards.slice(0, begin)).toEqual(numbers(begin).map((i) => 6 - begin + i));
    expect(shards.slice(begin, begin + 192)).toEqual([...numbers(6), ...numbers(6)].flatMap((shard) => numbers(16).map(() => shard)));
  });

  it('keeps the order of a shard, the very first sends included, and of a mixture of single sends and batches', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    const calls: Array<Promise<unknown>> = [];
    for (let n = 0; n < 3_000; n += 10) {
      const message = (m: number): OutgoingQueueMessage => ({ data: n + m, key: `k${(n + m) % 20}` });
      calls.push(producer.send(n, { key: message(0).key! }), producer.sendMany(numbers(8).map((m) => message(m + 1))), producer.send(n + 9, { key: message(9).key! }));
      if (n % 400 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(calls);
    const stored = await storedIn(world(), queue);
    expect(stored).toHaveLength(3_000);
    for (let shard = 0; shard < world().shards; shard++) {
      const data = stored.filter((entry) => entry.shard === shard).map(({ fields }) => Number(fields['data']));
      expect(data).toEqual([...data].sort((a, b) => a - b));
    }
  });

  it('carries any text', async () => {
    const queue = await world().queue();
    const odd = [' ', 'ключ', '🙂'.repeat(50), 'a"b\\c', 'x'.repeat(1_023), '__proto__', '-', '=', '*', '$', '0'];
    const producer = world().client.queue(queue);
    const sent = await producer.sendMany(odd.map((text) => ({ data: { text, nul: '\0' }, key: text, id: text, headers: { [text]: `${text}\0` } })));
    const delayed = await producer.sendMany(odd.map((text) => ({ data: { text, nul: '\0' }, key: text, id: `${text}!`, headers: { [text]: `${text}\0` }, delayMs: 60_000 })));
    const stored = new Map((await storedIn(world(), queue)).map(({ shard, id, fields }) => [`${shard}/${id}`, fields]));
    for (const [i, text] of odd.entries()) {
      const fields = stored.get(`${sent[i]!.shard}/${sent[i]!.id}`)!;
      const waiting = (await delayedIn(world(), queue)).find(({ shard, name }) => shard === delayed[i]!.shard && name === delayed[i]!.id)!;
      expect([fields['key'], fields['id'], waiting.key, waiting.id]).toEqual([text, text, text, `${text}!`]);
      for (const { data, headers } of [fields, waiting]) expect([JSON.parse(data!), Object.entries(JSON.parse(headers!) as object)]).toEqual([{ text, nul: '\0' }, [[text, `${text}\0`]]]);
    }
  });

  it('refuses what cannot be sent, and sends nothing of its batch', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    expect(await failure(producer.send(1n))).toBeInstanceOf(InvalidOptionsError);
    expect((await failure(producer.send(1, { key: '' }))).message).toMatch(/key/);
    const batch = await failure(producer.sendMany([{ data: 1 }, { data: 2, delayMs: -1 }, { data: 3 }]));
    expect(batch).toBeInstanceOf(InvalidOptionsError);
    expect(batch.message).toContain('messages[1].delayMs');
    expect(await producer.sendMany([])).toEqual([]);
    for (const none of [undefined, null, { data: 1 }, 'data', new Set([{ data: 1 }])]) expect(await failure(producer.sendMany(none as never))).toMatchObject({ code: 'INVALID_OPTIONS', problems: [{ path: 'messages' }] });
    const holed = [{ data: 1 }, { data: 2 }, { data: 3 }];
    delete holed[1];
    expect(await failure(producer.sendMany(holed))).toMatchObject({ code: 'INVALID_OPTIONS', problems: [{ path: 'messages[1]' }] });
    for (const none of [null, 5, { timeout: 5 }, { timeoutMs: NaN }]) expect(await failure(producer.close(none as never))).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(producer.closed).toBe(false);
    for (const none of [null, undefined, 5, []]) expect(() => world().client.queue(none as never)).toThrow(InvalidOptionsError);
    for (const none of [null, 5, []]) expect(() => world().client.queue(queue, none as never)).toThrow(InvalidOptionsError);
    expect(await storedIn(world(), queue)).toEqual([]);
  });

  it('a message whose id was sent before is not stored again, in one batch, later, by others; until its time is over', async () => {
    const queue = await world().queue({ dedupeMs: 1_500 });
    const producer = world().client.queue(queue);
    const [first, second, other] = await producer.sendMany([{ data: 1, id: 'a' }, { data: 2, id: 'a' }, { data: 3, id: 'b' }]);
    expect([first!.duplicate, other!.duplicate]).toEqual([false, false]);
    expect(second).toEqual({ ...first!, duplicate: true });
    expect(await world().engine().queues().queue(queue).send(4, { id: 'a' })).toEqual({ ...first!, duplicate: true });
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data']).sort()).toEqual(['1', '3']);
    const again = await waitUntil(async () => {
      const sent = await producer.send(5, { id: 'a' });
      return sent.duplicate ? undefined : sent;
    }, { what: 'the id may be used again', timeoutMs: 4_000, intervalMs: 100 });
    expect(Number(again.id.split('-')[0]) - Number(first!.id.split('-')[0])).toBeGreaterThanOrEqual(1_500);
  });

  it.each([1, 6])('an id is that of a key, however many shards there are: %i', async (shards) => {
    const queue = await world().queue({ shards });
    const producer = world().client.queue(queue);
    const messages = [...numbers(20).map((n) => ({ data: n, id: 'a', key: `k${n}` })), { data: 20, id: 'a' }];
    expect((await producer.sendMany(messages)).map(({ duplicate }) => duplicate)).toEqual(messages.map(() => false));
    expect((await producer.sendMany(messages)).map(({ duplicate }) => duplicate)).toEqual(messages.map(() => true));
    expect((await storedIn(world(), queue, shards)).map(({ fields }) => Number(fields['data'])).sort((a, b) => a - b)).toEqual(numbers(21));
  });

  it('what is over is cleaned away as others come, and all of it in the end', async () => {
    const queue = await world().queue({ shards: 1, dedupeMs: 300 });
    const producer = world().client.queue(queue);
    const { ids, origins } = keysOf(queue);
    await producer.sendMany(numbers(1_000).map((n) => ({ data: n, id: `a${n}` })));
    expect([await world().cli(['ZCARD', ids]), await world().cli(['HLEN', origins])]).toEqual([1_000, 1_000]);
    await waitUntil(async () => Number(await world().cli(['ZCOUNT', ids, '-inf', String(Date.now())])) === 1_000 || (await world().cli(['ZCARD', ids])) === 0, { what: 'they are over' });
    for (let n = 0; n < 200; n++) await producer.send(n, { id: `b${n}` });
    expect(Number(await world().cli(['ZCARD', ids]))).toBeLessThanOrEqual(200);
    expect(await world().cli(['HLEN', origins])).toBe(await world().cli(['ZCARD', ids]));
    await waitUntil(async () => (await world().cli(['EXISTS', ids])) === 0 && (await world().cli(['EXISTS', origins])) === 0, { what: 'nothing of it is left' });
  });

  it('a queue without a window stores every message, and keeps no ids', async () => {
    const queue = await world().queue({ dedupeMs: 0 });
    const sent = await world().client.queue(queue).sendMany([{ data: 1, id: 'a' }, { data: 2, id: 'a' }]);
    expect(sent.map(({ duplicate }) => duplicate)).toEqual([false, false]);
    expect((await world().allKeys()).filter((key) => key.includes(`queue:${queue}/`) && /:(ids|origins)$/.test(key))).toEqual([]);
  });

  it('a delayed message waits beside the queue, for as long as the server\'s clock says', async () => {
    const queue = await world().queue({ shards: 1 });
    const producer = world().client.queue(queue);
    const time = async (): Promise<number> => {
      const [seconds, micros] = (await world().cli(['TIME'], keysOf(queue).delayed)) as [string, string];
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    };
    const before = await time();
    const sent = await producer.sendMany([{ data: { a: 1 }, delayMs: 60_000, id: 'x', key: 'x' }, { data: 'now', key: 'x' }, { data: 2, delayMs: 30_000 }, { data: 9, delayMs: 5, id: 'x', key: 'x' }]);
    const after = await time();
    expect(sent[3]).toEqual({ ...sent[0]!, duplicate: true });
    expect((await storedIn(world(), queue, 1)).map(({ fields }) => fields['data'])).toEqual(['"now"']);
    const waiting = await delayedIn(world(), queue, 1);
    expect(waiting.map(({ name, key, id, data }) => ({ name, key, id, data }))).toEqual([{ name: sent[2]!.id, key: '', id: '', data: '2' }, { name: sent[0]!.id, key: 'x', id: 'x', data: '{"a":1}' }]);
    for (const [i, delayMs] of [30_000, 60_000].entries()) {
      expect(waiting[i]!.due).toBeGreaterThanOrEqual(before + delayMs);
      expect(waiting[i]!.due).toBeLessThanOrEqual(after + delayMs);
    }
  });

  it('equal delayed messages are as many as were sent', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    await Promise.all(numbers(1_200).map(() => producer.send('same', { delayMs: 50_000 })));
    expect(await delayedIn(world(), queue)).toHaveLength(1_200);
  });

  it('says on the bell when something is due sooner than all else, and only then', async () => {
    const queue = await world().queue({ shards: 1 });
    const { bell } = keysOf(queue);
    const heard: string[] = [];
    const listener = new Redis((await world().serverOf(bell)).port);
    world().onEnd(() => listener.disconnect());
    await listener.subscribe(bell);
    listener.on('message', (_, text: string) => heard.push(text));
    const producer = world().client.queue(queue);
    for (const delayMs of [50_000, 60_000, 40_000]) await producer.send('x', { delayMs });
    await producer.sendMany([{ data: 1, delayMs: 30_000 }, { data: 2, delayMs: 20_000 }, { data: 3 }]);
    await waitUntil(() => heard.length >= 3, { what: 'the bell has rung three times' });
    // In how many ms, as the server saw it then.
    expect(heard).toEqual([50_000, 40_000, 20_000].map((ms) => `due ${ms}`));
  });

  it('a queue nobody has registered is told so; one that is registered a little later is found', async () => {
    const engine = world().engine({ queue: { registrationWaitMs: 300 } });
    const name = world().name();
    const missing = await failure(engine.queues().queue(name).send(1));
    expect(missing).toBeInstanceOf(QueueNotRegisteredError);
    expect(missing).toMatchObject({ code: 'QUEUE_NOT_REGISTERED', queue: name, retriable: false });
    const late = world().name();
    const sends = numbers(100).map((n) => world().client.queue(late).send(n));
    await engine.queues().register({ name: late });
    expect((await Promise.all(sends)).map(({ shard }) => shard)).toEqual(numbers(100).map(() => 0));
    expect((await storedIn(world(), late, 1)).map(({ fields }) => Number(fields['data']))).toEqual(numbers(100));
    expect((await engine.queues().queue(late).send(1)).duplicate).toBe(false);
  });

  it('the first registration stands, also one that is made by a start', async () => {
    const name = world().name();
    const engine = world().engine({ consumerName: 'first', queue: { namespace: 'shop' } });
    engine.registerQueue({ name, shards: 2 });
    expect(() => engine.registerQueue({ name, shards: 3 })).toThrow(InvalidOptionsError);
    await engine.start();
    expect(() => engine.registerQueue({ name: world().name() })).toThrow(/before the engine is started/);
    const refused = await failure(world().client.register({ name, namespace: 'shop', shards: 4 }));
    expect(refused).toBeInstanceOf(QueueMismatchError);
    expect(refused).toMatchObject({ registeredBy: 'first', queue: `shop:${name}`, differences: ['shards: 4 here, 2 as registered'] });
    expect((await world().client.queue({ queue: name, namespace: 'shop' }).send(1)).shard).toBeLessThan(2);
    const starting = world().engine();
    starting.registerQueue({ name, namespace: 'shop', dedupeMs: 5 });
    expect(await failure(starting.start())).toBeInstanceOf(QueueMismatchError);
  });

  it('close sends what is waiting, then refuses; again it does nothing; a new producer takes over', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    expect(world().client.queue(queue)).toBe(producer);
    expect(world().client.queue(queue, { maxPending: 5 })).not.toBe(producer);
    const calls = numbers(5_000).map((n) => producer.send(n));
    expect(await producer.close({ timeoutMs: 20_000 })).toEqual({ unsent: 0 });
    expect(new Set((await Promise.all(calls)).map(({ shard, id }) => `${shard}/${id}`)).size).toBe(5_000);
    expect(await producer.close()).toEqual({ unsent: 0 });
    expect(await failure(producer.send(1))).toBeInstanceOf(ClosedError);
    expect(await failure(producer.sendMany([{ data: 1 }]))).toBeInstanceOf(ClosedError);
    const records = (await world().allKeys()).filter((key) => key.includes(`queue:${queue}/`) && key.includes('producer'));
    expect(records).toHaveLength(world().shards);
    for (const key of records) expect(Number(await world().cli(['PTTL', key]))).toBeLessThanOrEqual(60_000);
    await world().client.queue(queue).send('goes on');
    expect(await storedIn(world(), queue)).toHaveLength(5_001);
  });

  it('a stop right after the first sends sends them; what comes later is refused', async () => {
    const queue = await world().queue();
    const engine = world().engine();
    const producer = engine.queues().queue(queue);
    const calls = numbers(500).map((n) => producer.send(n));
    await engine.stop();
    expect(await Promise.all(calls)).toHaveLength(500);
    expect(await failure(producer.send(1))).toBeInstanceOf(ClosedError);
    expect(() => engine.queues().queue(queue)).toThrow(ClosedError);
    expect(await storedIn(world(), queue)).toHaveLength(500);
  });
});

/** All that waits for its time, what is due first first in each shard. */
async function delayedIn(world: World, queue: string, shards = world.shards): Promise<Waiting[]> {
  const all: Waiting[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const flat = (await world.cli(['ZRANGE', keysOf(queue, { shards, shard }).delayed, 0, -1, 'WITHSCORES'])) as string[];
    for (let i = 0; i < flat.length; i += 2) all.push({ ...readDelayed(flat[i]!), shard, due: Number(flat[i + 1]) });
  }
  return all;
}

onTopologies(['standalone'], 'queue-produce', (world) => {
  it.each([
    ['older than 7.0', 'redis.REDIS_VERSION_NUM', 'nil'],
    ['that counts in steps of its own', 'local call = redis.call', `
      local steps = ARGV[1] * 1000
      local function call(command, key, at, ...)
        if command ~= 'XADD' or at == '*' then return redis.call(command, key, at, ...) end
        steps = steps + 7
        return redis.call(command, key, string.sub(at, 1, -2) .. steps, ...)
      end`],
  ])('on a server %s the answer is a word for each message', async (_what, part, other) => {
    const { messages, delayed, ids, origins, bell } = keysOf(await world().queue({ shards: 1 }));
    const script = LUA['queue-produce'].replace(/^#!.*\n/, '').replaceAll(part, other);
    const record = messages.replace('messages', 'producer:x');
    const run = async (sequence: number, ...rest: string[]): Promise<unknown> =>
      world().cli(['EVAL', script, '5', record, messages, delayed, ids, origins, `${sequence}`, `${sequence - 1}`, '0', '60000', ...rest]);
    const answers = [await run(1, '1', '0', 'x', bell, '1', '2', '3'), await run(2, '5', '0', 'x', bell, 'k', '', '', '', '4', '', '{"a":"b"}', '', '', '5')];
    const stored = (await world().cli(['XRANGE', messages, '-', '+'])) as [string, string[]][];
    expect(stored.map(([, fields]) => fields)).toEqual([['data', '1'], ['data', '2'], ['data', '3'], ['data', '4', 'key', 'k'], ['data', '5', 'headers', '{"a":"b"}']]);
    const names = stored.map(([id]) => id);
    expect(answers).toEqual([`1 ${names.slice(0, 3).join(' ')}`, `2 ${names.slice(3).join(' ')}`]);
  });
});

onTopologies(['cluster'], 'queue producer and a master that does not answer', (world) => {
  it('a shard that is slow gets no more messages than the others', async () => {
    const queue = await world().queue({ shards: 3 });
    const producer = world().client.queue(queue);
    const keyed = await Promise.all(numbers(50).map(async (n) => ({ key: `k${n}`, ...(await producer.send(n, { key: `k${n}` })) })));
    const keys = [0, 2].map((healthy) => keyed.find(({ shard }) => shard === healthy)!.key);
    const stuck = await world().serverOf(keysOf(queue, { shards: 3, shard: 1 }).messages);
    await stuck.kill('SIGSTOP');
    const sent: Array<Promise<{ shard: number }>> = [];
    try {
      for (let n = 0; n < 30; n++) {
        for (let i = 0; i < 3; i++) sent.push(producer.send(3 * n + i));
        await Promise.all(keys.map((key) => producer.send(n, { key }))); // these two are idle again
      }
    } finally {
      await stuck.kill('SIGCONT');
    }
    const shards = (await Promise.all(sent)).map(({ shard }) => shard);
    expect(numbers(3).map((shard) => shards.filter((other) => other === shard).length)).toEqual([30, 30, 30]);
  });
});
