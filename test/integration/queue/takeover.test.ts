import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { Log, startChild } from './fixtures/child.js';
import { consume } from './support/consumer.js';
import { FencedError, MessageLostError } from './support/engine.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained, ghost, pendingOf } from './support/state.js';
import { BOTH, onTopologies } from './support/world.js';

const TTL = 1_000;

onTopologies(BOTH, 'takeover', (world) => {
  it('what a killed process held is handled elsewhere right after its deadline, not before', async () => {
    const queue = await world().queue();
    const log = new Log(world());
    const victim = await startChild(world(), log, { queue, tuning: { concurrency: 4, prefetch: 30 }, options: { session: { ttlMs: TTL } } });
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(60).map((n) => ({ data: { n, how: 'hold' } })));
    await waitUntil(() => log.lines('begin').length === 4, { what: 'it is at work' });
    const runs = new Runs();
    // Its heartbeats are seldom: it knows the deadline, and needs none of them to act on it.
    const heir = await consume(world(), queue, runs.handler(), { engine: { session: { ttlMs: 12_000 } } });
    await waitUntil(async () => (await storedIn(world(), queue)).length === 30, { what: 'the heir has handled what the victim does not hold' });
    const killedAt = performance.now();
    await victim.kill();
    await drained(world(), queue);
    const took = performance.now() - killedAt;
    // A heartbeat comes every third of ttl: the deadline is two thirds to a whole ttl away.
    expect(took).toBeGreaterThan(TTL / 2);
    expect(took).toBeLessThan(TTL + 2_500); // and not at its heartbeat, every 4,000
    expect(runs.contexts.map(({ data }) => (data as { n: number }).n).sort((a, b) => a - b)).toEqual(numbers(60));
    const taken = runs.contexts.filter(({ redelivered }) => redelivered);
    expect(taken).toHaveLength(30);
    expect(taken.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(heir.all('queue.takenOver').reduce((sum, { messages }) => sum + messages, 0)).toBe(30);
    // Of the dead nothing is left.
    for (let shard = 0; shard < world().shards; shard++) {
      const keys = keysOf(queue, { shards: world().shards, shard });
      expect(await world().cli(['ZRANGE', keys.sessions, 0, -1])).toEqual([heir.session(shard)]);
      expect(await world().cli(['HKEYS', keys.members])).toEqual([heir.session(shard)]);
      expect(Object.keys(await pendingOf(world(), queue, { shards: world().shards, shard })).filter((name) => name !== '-')).toEqual([heir.session(shard)]);
    }
  });
});

onTopologies(['standalone'], 'takeover from who is not dead', (world) => {
  it('a process that was stopped (SIGSTOP) past its deadline is told when it wakes, and cannot acknowledge', async () => {
    const queue = await world().queue();
    const log = new Log(world());
    const options = { session: { ttlMs: 600 } };
    const sleeper = await startChild(world(), log, { queue, tuning: { concurrency: 2, prefetch: 8 }, options });
    await world().client.queue(queue).sendMany(numbers(8).map((n) => ({ data: { n, how: 'late' } })));
    await waitUntil(() => log.lines('begin').length === 2, { what: 'its handlers run' });
    sleeper.stopProcess();
    const runs = new Runs();
    const hold = gate();
    await consume(world(), queue, runs.handler(() => hold.opened), { engine: options });
    await runs.calls(8); // all are somebody else's now, and not settled yet
    sleeper.send('go');
    sleeper.continue();
    await waitUntil(() => log.lines('ack-refused', sleeper.pid).length === 2, { what: 'its late acknowledgements are refused' });
    expect(new Set(log.lines('ack-refused').map(({ error }) => error))).toEqual(new Set(['FencedError']));
    expect(new Set(log.lines('aborted').map(({ error }) => error))).toEqual(new Set(['MessageLostError session-lost']));
    expect(await sleeper.waitFor(({ type }) => type === 'queue.lost', 5_000, 'the loss')).toMatchObject({ messages: 8 });
    // What it had read ahead it has not begun since.
    expect(log.lines('begin', sleeper.pid)).toHaveLength(2);
    expect(await storedIn(world(), queue)).toHaveLength(8);
    hold.open();
    await drained(world(), queue);
    // It takes part again, under another session.
    const again = numbers(20, 100);
    await sleeper.waitFor(({ type }) => type === 'session.lost', 5_000, 'its end');
    await waitUntil(() => sleeper.messages.filter(({ type }) => type === 'session.joined').length === 2, { what: 'it has joined again' });
    await waitUntil(async () => {
      await world().client.queue(queue).sendMany(again.map((n) => ({ data: { n } })));
      return log.lines('end', sleeper.pid).some(({ n }) => n >= 100);
    }, { what: 'it handles messages again', intervalMs: 50 });
  });

  it('a slow handler in a live process keeps its message, however long it takes', async () => {
    const queue = await world().queue();
    const [slow, other] = [new Runs(), new Runs()];
    const options = { session: { ttlMs: TTL } };
    const a = await consume(world(), queue, slow.handler((ctx) => new Promise((resolve) => setTimeout(() => (expect(ctx.signal.aborted).toBe(false), resolve(undefined)), 2.2 * TTL))), { prefetch: 4, concurrency: 1, engine: options });
    await world().client.queue(queue).send('slow');
    await slow.calls(1);
    await consume(world(), queue, other.handler(), { engine: options });
    await drained(world(), queue);
    expect([slow.data, other.data]).toEqual([['slow'], []]);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('the server refuses what a session says that is over, also when the process does not know it yet', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const refused: Error[] = [];
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (n > 1) return;
      await world().cli(['ZADD', keysOf(queue).sessions, 1, a.session()!]);
      refused.push(await failure(ctx.ack()));
    }), { engine: { session: { ttlMs: 60_000 } } });
    await world().client.queue(queue).send('x');
    await drained(world(), queue);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toBeInstanceOf(FencedError);
    expect(runs.contexts.map(({ redelivered }) => redelivered)).toEqual([false, true]);
    expect(a.all('session.lost')).toMatchObject([{ why: 'expired' }]);
  });

  it('a consumer whose session Redis has forgotten lets go at its next heartbeat; its handlers are told, and it joins again', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const reasons: unknown[] = [];
    const hold = gate();
    const a = await consume(world(), queue, runs.handler(async ({ signal }, n) => {
      if (n > 1) return;
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      await hold.opened;
    }), { engine: { session: { ttlMs: 900 } } });
    await world().client.queue(queue).send('x');
    await runs.calls(1);
    const before = a.session()!;
    await world().cli(['ZREM', keysOf(queue).sessions, before]);
    await runs.calls(2);
    await drained(world(), queue);
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toBeInstanceOf(MessageLostError);
    expect(reasons[0]).toMatchObject({ reason: 'session-lost', code: 'MESSAGE_LOST' });
    expect(a.all('queue.lost')).toMatchObject([{ queue, group: 'default', shard: 0, messages: 1 }]);
    expect(a.session()).not.toBe(before);
    hold.open();
    await waitUntil(() => runs.running === 0, { what: 'the first has ended, too' });
    expect(runs.contexts.map(({ redelivered }) => redelivered)).toEqual([false, true]);
    expect(a.errors).toEqual([]);
  });

  it.each([
    ['it returns', undefined],
    ['it fails', new Error('too late')],
  ])('a handler of a session that was lost gives its place to the next message when %s, though nothing else happens', async (_, thrown) => {
    const queue = await world().queue();
    const runs = new Runs();
    const hold = gate();
    const a = await consume(world(), queue, runs.handler(async (_context, n) => {
      if (n > 1) return;
      await hold.opened; // looks at no signal
      if (thrown) throw thrown;
    }), { concurrency: 1, prefetch: 4, engine: { session: { ttlMs: 900 } } });
    await world().client.queue(queue).send('x');
    await runs.calls(1);
    await world().cli(['ZREM', keysOf(queue).sessions, a.session()!]);
    // Given to its next session, it waits for a place, which only that handler can make. From here on nothing comes that would make anybody look.
    await waitUntil(() => a.all('queue.takenOver').length === 1, { what: 'its next session has taken it over' });
    expect(runs.contexts).toHaveLength(1);
    hold.open();
    await runs.calls(2, 5_000);
    await drained(world(), queue);
  });

  it.each([
    ['more messages than there is room for', numbers(120).map((n) => ({ n, text: '' })), 4],
    ['large ones', numbers(5).map((n) => ({ n, text: 'x'.repeat(1_200_000) })), 256],
  ])('of a dead one\'s %s are taken as room comes, without waiting for heartbeats', async (_, work, prefetch) => {
    const queue = await world().queue();
    await world().client.queue(queue).sendMany(work.map((data) => ({ data })));
    await (await ghost(world(), queue))();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { prefetch, concurrency: 4, engine: { session: { ttlMs: 60_000 } } });
    await drained(world(), queue);
    expect(runs.contexts.map(({ data }) => (data as { n: number }).n).sort((x, y) => x - y)).toEqual(work.map(({ n }) => n));
    expect(a.all('queue.takenOver').reduce((sum, { messages }) => sum + messages, 0)).toBe(work.length);
    expect(a.all('queue.takenOver').length).toBeGreaterThan(1);
  });

  it('a newer process of the same exclusive name takes over at once, and the older one ends', async () => {
    const queue = await world().queue();
    const log = new Log(world());
    const options = { consumerName: 'worker-1', session: { ttlMs: 20_000, heartbeatMs: 300 } };
    const old = await startChild(world(), log, { queue, options });
    await world().client.queue(queue).send({ n: 1, how: 'hold' });
    await waitUntil(() => log.began(1).length === 1, { what: 'it runs' });
    await old.kill();
    const runs = new Runs();
    const since = performance.now();
    await consume(world(), queue, runs.handler(), { engine: options });
    await drained(world(), queue);
    expect(performance.now() - since).toBeLessThan(8_000); // and not 20,000
    expect(runs.contexts).toHaveLength(1);
  });
});
