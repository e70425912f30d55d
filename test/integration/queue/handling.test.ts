import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { ODD_RETURNS } from '../support/odd-returns.js';
import { consume } from './support/consumer.js';
import { FencedError, HandlerTimeoutError, type QueueContext } from './support/engine.js';
import { gate, numbers, Runs, untilAborted } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained, lettersOf, pendingOf } from './support/state.js';
import { BOTH, onTopologies } from './support/world.js';

const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);

onTopologies(BOTH, 'handling', (world) => {
  it('every message runs once, over all shards and consumers, and nothing is left of it', async () => {
    const queue = await world().queue({ shards: 6 });
    const runs = [new Runs(), new Runs(), new Runs()];
    await Promise.all(runs.map((each) => consume(world(), queue, each.handler(), { prefetch: 24, concurrency: 4 })));
    const producer = world().client.queue(queue);
    const sent = await Promise.all(numbers(2_000).map((n) => producer.send(n)));
    await drained(world(), queue, { shards: 6 });
    expect(runs.flatMap(({ data }) => data).sort(byNumber)).toEqual(numbers(2_000));
    expect(runs.flatMap(({ ids }) => ids).sort()).toEqual(sent.map(({ shard, id }) => `${shard}/${id}`).sort());
    expect(new Set(sent.map(({ shard }) => shard)).size).toBe(6);
    expect(runs.flatMap(({ contexts }) => contexts).every(({ attempt, redelivered }) => attempt === 1 && !redelivered)).toBe(true);
  });

  it('what was sent before anybody consumed is handled as well', async () => {
    const queue = await world().queue();
    await world().client.queue(queue).sendMany(numbers(50).map((data) => ({ data })));
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue);
    expect(runs.data.sort(byNumber)).toEqual(numbers(50));
  });

  it('the context says what the sender said', async () => {
    const queue = await world().queue({ shards: 1 });
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    const sent = await world().client.queue(queue).send({ a: ['ü', null] }, { key: 'k 1', id: 'id-1', headers: { trace: 'é"' } });
    const plain = await world().client.queue(queue).send(undefined);
    const [full, bare] = await runs.calls(2) as [QueueContext, QueueContext];
    expect(full).toMatchObject({ queue, group: 'default', shard: 0, id: sent.id, messageId: 'id-1', key: 'k 1', data: { a: ['ü', null] }, headers: { trace: 'é"' }, attempt: 1, redelivered: false });
    expect(full.queuedAt).toBe(Number.parseInt(sent.id, 10));
    expect(bare).toMatchObject({ id: plain.id, data: null, attempt: 1 });
    expect([bare.key, bare.messageId, { ...bare.headers }]).toEqual([undefined, undefined, {}]);
  });
});

onTopologies(['standalone'], 'handling in one process', (world) => {
  it('no more than `concurrency` at once, no more than `prefetch` held; sync handlers as well', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(60).map((data) => ({ data })));
    const runs = new Runs();
    const held = gate();
    const a = await consume(world(), queue, runs.handler(() => held.opened), { concurrency: 3, prefetch: 10 });
    await runs.calls(3);
    await waitUntil(() => a.inner.load().held === 10, { what: 'it has read ahead' });
    // Looks and reads go on; none of them brings more than there is room for.
    await a.saw('session.renewed', 2);
    expect(a.inner.load()).toEqual({ held: 10, running: 3 });
    expect(await pendingOf(world(), queue)).toEqual({ [a.session()!]: 10 });
    held.open();
    await drained(world(), queue);
    expect(runs.most).toBe(3);
    expect(runs.data).toEqual(numbers(60));

    const sync: unknown[] = [];
    await a.stop();
    await consume(world(), queue, (data) => void sync.push(data), { concurrency: 1, prefetch: 2 });
    await producer.sendMany(numbers(30).map((data) => ({ data })));
    await drained(world(), queue);
    expect(sync).toEqual(numbers(30));
  });

  it('ack: auto acknowledges with the return, manual with ctx.ack(), which resolves when Redis has it - also under a steady load', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    let busy = true;
    const resolved: number[] = [];
    const outcomes: string[] = [];
    await consume(world(), queue, async (data, ctx) => {
      if (data === 'left') return;
      if (data === 'watched') {
        await ctx.ack();
        outcomes.push(JSON.stringify(await world().cli(['XRANGE', keysOf(queue).messages, ctx.id, ctx.id])));
        await ctx.ack();
        outcomes.push('acked twice');
        return;
      }
      if (busy) void producer.send(data);
      await ctx.ack();
      resolved.push(data as number);
    }, { ack: 'manual', concurrency: 64 });
    await producer.sendMany(numbers(40).map((data) => ({ data })));
    await producer.send('watched');
    // Messages beget messages: there is always something on its way to Redis.
    await waitUntil(() => outcomes.length === 2 && new Set(resolved).size === 40, { what: 'acknowledgements resolve while others come', timeoutMs: 3_000 });
    busy = false;
    expect(outcomes).toEqual(['[]', 'acked twice']);
    const { id } = await producer.send('left');
    await waitUntil(async () => (await storedIn(world(), queue)).every((stored) => stored.id === id), { what: 'all others are acknowledged' });
    expect((await storedIn(world(), queue)).map((stored) => stored.id)).toEqual([id]);
  });

  it('nack(delay) and a throw: delivered again after the delay, with the attempt counted', async () => {
    const queue = await world().queue();
    const at: number[] = [];
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      at.push(performance.now());
      if (n === 1) return ctx.nack(120);
      if (n === 2) throw new Error('second');
      if (n === 3) await ctx.nack();
    }), { retry: { initialMs: 60, maxMs: 60, jitter: 0 }, engine: { session: { ttlMs: 9_000 } } });
    const { id } = await world().client.queue(queue).send('x');
    await runs.calls(4);
    await drained(world(), queue);
    expect(runs.contexts.map(({ attempt, redelivered, id: each }) => [attempt, redelivered, each])).toEqual([[1, false, id], [2, true, id], [3, true, id], [4, true, id]]);
    const gaps = at.slice(1).map((time, i) => time - at[i]!);
    expect(gaps[0]).toBeGreaterThanOrEqual(118);
    for (const gap of gaps.slice(1)) expect(gap).toBeGreaterThanOrEqual(58);
    // Long before the next heartbeat, 3,000 ms away, which would find them too.
    for (const gap of gaps) expect(gap).toBeLessThan(1_000);
    expect(a.all('queue.retried').map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([[1, 120], [2, 60], [3, 60]]);
    expect(a.all('queue.retried')[1]!.error.message).toBe('second');
  });

  it('after maxAttempts it is a dead letter that tells why, from where, and what it was', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler((ctx) => {
      if (ctx.data === 'park') return ctx.deadLetter('not for us');
      throw new Error(`no ${ctx.attempt}`);
    }), { retry: { maxAttempts: 3, initialMs: 5 } });
    const owner = a.session()!;
    const sent = await world().client.queue(queue).send({ n: 1 }, { key: 'k', id: 'mine', headers: { h: '1' } });
    await a.saw('queue.deadLettered');
    const parked = await world().client.queue(queue).send('park');
    await a.saw('queue.deadLettered', 2);
    await drained(world(), queue);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 1]);
    expect((await lettersOf(world(), queue)).map(({ fields }) => fields)).toEqual([
      { reason: 'max-attempts', error: 'no 3', queue, group: 'default', shard: '0', id: sent.id, attempts: '3', owner, 'entry.key': 'k', 'entry.data': '{"n":1}', 'entry.headers': '{"h":"1"}', 'entry.id': 'mine' },
      { reason: 'not for us', error: '', queue, group: 'default', shard: '0', id: parked.id, attempts: '1', owner, 'entry.data': '"park"' },
    ]);
    expect(a.all('queue.deadLettered').map(({ reason, attempt }) => [reason, attempt])).toEqual([['max-attempts', 3], ['not for us', 1]]);
  });

  it('whatever is thrown, or an error has for a message: the letter is whole, and the shard goes on', async () => {
    const queue = await world().queue({ shards: 1 });
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    const thrown: Record<string, unknown> = {
      list: Object.assign(new Error('x'), { message: ['name is empty', 'y'.repeat(10_000)] }),
      nothing: Object.assign(new Error('x'), { message: undefined }),
      proxy: revoked.proxy,
    };
    const a = await consume(world(), queue, async (data) => {
      if (String(data) in thrown) throw thrown[String(data)];
    }, { retry: { maxAttempts: 1 } });
    await world().client.queue(queue).sendMany([...Object.keys(thrown), 'fine'].map((data) => ({ data, headers: { h: '1' } })));
    await drained(world(), queue);
    expect(a.all('queue.deadLettered')).toHaveLength(3);
    const letters = await lettersOf(world(), queue);
    const errors = Object.fromEntries(letters.map(({ fields }) => [JSON.parse(fields['entry.data']!) as string, fields['error']]));
    expect(errors).toEqual({ list: `name is empty,${'y'.repeat(1_986)}`, nothing: '', proxy: 'a thrown object without a text' });
    for (const { fields } of letters) expect(fields).toMatchObject({ reason: 'max-attempts', queue, shard: '0', 'entry.headers': '{"h":"1"}' });
  });

  it.each(ODD_RETURNS)('what a handler returns that %s has failed; the shard goes on, and a stop does not wait for it', async (_, odd) => {
    const queue = await world().queue({ shards: 1 });
    const fine: unknown[] = [];
    const a = await consume(world(), queue, (data) => (data === 'odd' ? odd() : void fine.push(data)), { concurrency: 1, retry: { maxAttempts: 1 }, engine: { shutdown: { drainMs: 10_000 } } });
    await world().client.queue(queue).sendMany([{ data: 'odd' }, { data: 'fine' }]);
    await drained(world(), queue);
    expect(fine).toEqual(['fine']);
    expect((await lettersOf(world(), queue)).map(({ fields }) => fields['error'])).toEqual(['odd']);
    expect(a.inner.load()).toEqual({ held: 0, running: 0 });
    const began = performance.now();
    await a.stop();
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('an ack, nack or deadLetter that comes too late is refused, and ends no process that does not wait for it', async () => {
    const queue = await world().queue({ shards: 1 });
    const runs = new Runs();
    const unheard: unknown[] = [];
    const hear = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', hear);
    try {
      await consume(world(), queue, (_, ctx) => void runs.contexts.push(ctx));
      await world().client.queue(queue).send('done when it returns');
      await drained(world(), queue);
      const [context] = (await runs.calls(1)) as [QueueContext];
      void context.ack();
      void context.nack();
      void context.deadLetter('late');
      await expect(context.ack()).rejects.toBeInstanceOf(FencedError);
      await new Promise((resolve) => setImmediate(resolve));
      expect(unheard).toEqual([]);
    } finally {
      process.off('unhandledRejection', hear);
    }
  });

  it('a handler that takes longer than maxProcessingMs is told, and the message delivered again; what it says then is not heard', async () => {
    const queue = await world().queue();
    const reasons: unknown[] = [];
    const late: Error[] = [];
    const runs = new Runs();
    await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (n > 1) return;
      await untilAborted(ctx).catch((error: unknown) => reasons.push(error));
      late.push(await failure(ctx.ack()));
    }), { maxProcessingMs: 100, retry: { initialMs: 10 } });
    await world().client.queue(queue).send('slow');
    await runs.calls(2);
    await drained(world(), queue);
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toBeInstanceOf(HandlerTimeoutError);
    expect(late[0]).toBeInstanceOf(FencedError);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await lettersOf(world(), queue)).toEqual([]);
  });

  it('the first of ack, nack, deadLetter, return and throw counts', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const errors: Error[] = [];
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (n > 1) return;
      if (ctx.data === 'acked') {
        await ctx.ack();
        throw new Error('after its ack');
      }
      const parked = ctx.nack(1);
      await Promise.all([ctx.deadLetter('too late'), parked]).catch((error: Error) => errors.push(error));
    }), { ack: 'auto' });
    await world().client.queue(queue).sendMany([{ data: 'acked' }, { data: 'nacked' }]);
    await runs.calls(3);
    await drained(world(), queue);
    expect(runs.data).toEqual(['acked', 'nacked', 'nacked']);
    expect(await lettersOf(world(), queue)).toEqual([]);
    expect(a.all('queue.retried')).toHaveLength(1);
  });

  it('what cannot be read is a dead letter, and all around it is handled', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    const runs = new Runs();
    const producer = world().client.queue(queue);
    await producer.send('before');
    await world().cli(['XADD', messages, '*', 'foreign', 'x', 'other', 'y']);
    await world().cli(['XADD', messages, '*', 'data', '{not json', 'id', 'i', 'extra', '1']);
    await world().cli(['XADD', messages, '*', 'data', '"odd"', 'headers', '[not an object', 'data2', '']);
    await world().cli(['XADD', messages, '*', 'data', '']);
    await producer.send('after');
    await consume(world(), queue, runs.handler((ctx) => expect({ ...ctx.headers }).toEqual({})), { concurrency: 1 });
    await drained(world(), queue);
    expect(runs.data).toEqual(['before', 'odd', 'after']);
    const letters = (await lettersOf(world(), queue)).map(({ fields }) => fields);
    expect(letters.map(({ reason }) => reason)).toEqual(['missing-data', 'invalid-json', 'invalid-json']);
    expect(letters[0]).toMatchObject({ 'entry.foreign': 'x', 'entry.other': 'y' });
    expect(letters[1]).toMatchObject({ 'entry.data': '{not json', 'entry.id': 'i', 'entry.extra': '1' });
    expect(letters[1]!['error']).toMatch(/JSON/);
  });

  it('a message `to` one group is handled there alone', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    const [here, there] = [new Runs(), new Runs()];
    await consume(world(), queue, here.handler(), { group: 'here' });
    await consume(world(), queue, there.handler(), { group: 'there' });
    await world().cli(['XADD', messages, '*', 'data', '1', 'to', 'there']);
    await world().cli(['XADD', messages, '*', 'data', '2', 'to', 'nobody']);
    await world().cli(['XADD', messages, '*', 'data', '3']);
    await drained(world(), queue, { groups: ['here', 'there'] });
    expect([here.data, there.data]).toEqual([[3], [1, 3]]);
  });
});
