import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { childOwns, type Child, Log, startChild } from './fixtures/child.js';
import { caughtUp, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const TTL = 1_000;
const quick = { session: { ttlMs: TTL } };

/** Sends `n` = from...to of each of these keys to one partition. */
const numbers = (partition: number, keys: number, from: number, to: number, more: object = {}) =>
  Array.from({ length: to - from }, (_, i) => ({ partition, key: `k${(from + i) % keys}`, data: { n: from + i, ...more } }));

onTopologies(BOTH, 'takeover', (world) => {
  it('of a killed process happens at its deadline; what it had begun runs before newer messages of its keys', async () => {
    const stream = await world().stream(4);
    const log = new Log(world());
    const tuning = { concurrency: 4 };
    const victim = await startChild(world(), log, { stream, tuning, options: quick });
    await childOwns(victim, 4);
    for (const partition of [0, 1, 2, 3]) await world().client.sendMany(stream, numbers(partition, 4, partition * 100, partition * 100 + 8));
    await caughtUp(world(), stream, 4);
    // Begun and not done when the end comes; 20 and 24 are behind them.
    const begun = await world().client.sendMany(stream, numbers(1, 4, 120, 124, { how: 'hold' }));
    await waitUntil(() => [120, 121, 122, 123].every((n) => log.began(n).length === 1), { what: 'the victim is at work' });
    await world().client.sendMany(stream, numbers(1, 4, 124, 132));
    const heir = await world().consumer(stream, () => undefined, { group: 'elsewhere', engine: quick }); // its clock is warm
    const handled: Array<[number, number, number]> = [];
    const next = world().engine({ ...quick, onError: () => undefined });
    let assignedAt = 0;
    next.addPartitionConsumer({ stream, group: 'group', ...tuning }, {
      message: (data, { attempt, fencingToken }) => void handled.push([(data as { n: number }).n, attempt, fencingToken]),
      assigned: () => { assignedAt ||= performance.now(); },
    });
    const killedAt = performance.now();
    await victim.kill();
    await next.start();
    await waitUntil(() => handled.length === 12, { what: 'all is handled' });
    await caughtUp(world(), stream, 4);
    // A heartbeat comes every third of ttl: the deadline is two thirds to a whole ttl away.
    expect(assignedAt - killedAt).toBeGreaterThan(TTL / 2);
    expect(assignedAt - killedAt).toBeLessThan(TTL + 3_000);
    expect(handled).toHaveLength(12);
    for (let k = 0; k < 4; k++) expect(handled.map(([n]) => n).filter((n) => n % 4 === k)).toEqual([120 + k, 124 + k, 128 + k]);
    expect(handled.every(([, attempt]) => attempt === 1)).toBe(true);
    const before = Math.max(...log.lines().map(({ token }) => token));
    for (const [, , token] of handled) expect(token).toBeGreaterThan(before);
    expect(begun).toHaveLength(4);
    await heir.stop();
  });

  it('is done by live peers, at the deadline, without anybody asking', async () => {
    const stream = await world().stream(6);
    const log = new Log(world());
    const peer = await world().consumer(stream, () => undefined, { engine: quick });
    const victim = await startChild(world(), log, { stream, options: quick });
    await childOwns(victim, 3);
    await peer.owns(3);
    const killedAt = performance.now();
    await victim.kill();
    await peer.owns(6);
    expect(performance.now() - killedAt).toBeLessThan(TTL + 3_000);
    expect(peer.all('partition.assigned').slice(-3).map(({ from }) => from)).toEqual(['dead', 'dead', 'dead']);
    expect(peer.all('partition.revoked')).toHaveLength(3); // to the victim, when it joined
  });

  it('runs again at most what was read ahead', async () => {
    const stream = await world().stream(2);
    const log = new Log(world());
    const tuning = { prefetch: 16, concurrency: 4 };
    await world().client.sendMany(stream, [...numbers(0, 40, 0, 400), ...numbers(1, 40, 400, 800)]);
    const victim = await startChild(world(), log, { stream, tuning, options: quick });
    await waitUntil(() => log.lines('effect').length > 150, { what: 'it is at work', intervalMs: 1 });
    await victim.kill();
    await startChild(world(), log, { stream, tuning, options: quick });
    await caughtUp(world(), stream, 2, { timeoutMs: 20_000 });
    const effects = log.lines('effect');
    expect(new Set(effects.map(({ n }) => n)).size).toBe(800);
    expect(log.lines('begin').length - 800).toBeLessThanOrEqual(2 * 16);
    expect(log.guarded()).toHaveLength(effects.length);
  });

  it('of a process that is paused: it aborts when it wakes, its commits are refused, and guarded effects hold', async () => {
    const stream = await world().stream(2);
    const log = new Log(world());
    const paused = await startChild(world(), log, { stream, tuning: { concurrency: 4 }, options: quick });
    await childOwns(paused, 2);
    await world().client.sendMany(stream, [0, 1].flatMap((partition) => numbers(partition, 2, partition * 100, partition * 100 + 2, { how: 'late' })));
    await waitUntil(() => log.lines('begin').length === 4, { what: 'its handlers run' });
    paused.stopProcess();
    const heir: Child = await startChild(world(), log, { stream, tuning: { concurrency: 4 }, options: quick });
    heir.send('go');
    await caughtUp(world(), stream, 2);
    const tokenOf = (child: number): number[] => [...new Set(log.lines('begin').slice(child * 4, child * 4 + 4).map(({ token }) => token))];
    expect(Math.min(...tokenOf(1))).toBeGreaterThan(Math.max(...tokenOf(0)));
    // More for the same keys: the heir is ahead of the sleeper by now.
    await world().client.sendMany(stream, [0, 1].flatMap((partition) => numbers(partition, 2, partition * 100 + 2, partition * 100 + 6)));
    await caughtUp(world(), stream, 2);
    const positions = await Promise.all([0, 1].map((partition) => groupRow(world(), stream, partition)));
    paused.continue();
    await waitUntil(() => log.lines('aborted').length === 4, { what: 'its handlers are told' });
    expect(new Set(log.lines('aborted').map(({ error }) => error))).toEqual(new Set(['PartitionLostError session-lost']));
    paused.send('go');
    await waitUntil(() => log.lines('ack-refused').length === 4, { what: 'its late acknowledgements are refused' });
    expect(new Set(log.lines('ack-refused').map(({ error }) => error))).toEqual(new Set(['FencedError']));
    for (const partition of [0, 1]) expect((await groupRow(world(), stream, partition))?.lastDeliveredId).toBe(positions[partition]!.lastDeliveredId);
    // What a store accepts that remembers tokens: each effect once, in order.
    const late = log.lines('effect').filter(({ token }) => tokenOf(0).includes(token));
    expect(late).toHaveLength(4);
    const guarded = log.guarded();
    expect(guarded).toHaveLength(12);
    for (const key of ['k0', 'k1']) for (const partition of [0, 1]) {
      const order = guarded.filter((line) => line.key === key && line.partition === partition).map(({ n }) => n);
      expect(order).toEqual([...new Set(order)].sort((a, b) => a - b));
    }
    // It takes part again, under a new session.
    await paused.waitFor(({ type }) => type === 'session.lost', 5_000, 'the loss');
    await waitUntil(async () => {
      const { settled, members } = await world().client.assignment({ stream, group: 'group' });
      return settled && members.length === 2 && members.every(({ owned }) => owned.length === 1);
    }, { what: 'both share again' });
  });
});
