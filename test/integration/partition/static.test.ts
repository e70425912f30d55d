import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { childOwns, Log, startChild } from './fixtures/child.js';
import type { Consumer } from './support/consumer.js';
import { type GroupAssignment, InvalidOptionsError } from './support/engine.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/** A start as in a pod of a stateful set: with a name that is its own. */
function member(world: World, stream: string, consumerName: string, rejoinMs: number, runs = new Runs()): Promise<Consumer> {
  return world.consumer(stream, runs.handler(), { rejoinMs, engine: { consumerName, session: { ttlMs: 2_000 } } });
}

const group = (world: World, stream: string): Promise<GroupAssignment> => world.client.assignment({ stream, group: 'group' });

async function settled(world: World, stream: string, members: number): Promise<GroupAssignment> {
  await waitUntil(async () => {
    const { settled: done, members: list } = await group(world, stream);
    return done && list.length === members;
  }, { what: `${members} members have settled` });
  return group(world, stream);
}

const moves = (...consumers: Consumer[]): number => consumers.flatMap((consumer) => [...consumer.all('partition.assigned'), ...consumer.all('partition.revoked'), ...consumer.all('partition.lost')]).length;

onTopologies(BOTH, 'static membership', (world) => {
  it('a restart under the same name moves nothing and nobody notices', async () => {
    const stream = await world().stream(9);
    const runs = new Runs();
    const members = await Promise.all(['a', 'b', 'c'].map((name) => member(world(), stream, name, 10_000, runs)));
    const before = await settled(world(), stream, 3);
    await Promise.all(members.map((consumer) => consumer.owns(3)));
    const [a, b, c] = members as [Consumer, Consumer, Consumer];
    const had = a.owned;
    const [movesBefore, tokensBefore] = [moves(b, c), new Map(before.owners.map(({ partition, fencingToken }) => [partition, fencingToken]))];
    await a.stop();
    // Its partitions wait for it, theirs go on.
    const away = await group(world(), stream);
    expect(away.members.find(({ name }) => name === 'a')).toEqual({ name: 'a', session: undefined, target: had, owned: [], deadline: undefined });
    const sent = await world().client.sendMany(stream, messages(180, 60));
    await waitUntil(() => runs.distinct === sent.filter(({ partition }) => !had.includes(partition)).length, { what: 'the others have handled theirs' });
    expect(runs.contexts.some(({ partition }) => had.includes(partition))).toBe(false);
    const again = await member(world(), stream, 'a', 10_000, runs);
    await again.owns(3);
    expect(again.owned).toEqual(had);
    await caughtUp(world(), stream, 9);
    const after = await settled(world(), stream, 3);
    expect(after.generation).toBe(before.generation);
    expect(moves(b, c)).toBe(movesBefore);
    for (const { partition, owner, fencingToken } of after.owners) {
      if (had.includes(partition)) expect(fencingToken).toBeGreaterThan(tokensBefore.get(partition)!);
      else expect(fencingToken).toBe(tokensBefore.get(partition));
      expect(owner).toBe(before.owners[partition]!.owner);
    }
    expect(runs.contexts).toHaveLength(180);
    for (let k = 0; k < 60; k++) expect(runs.ofKey(`k${k}`).map(({ data }) => data)).toEqual([`m${k}`, `m${k + 60}`, `m${k + 120}`]);
  });

  it('a rolling restart of all moves nothing', async () => {
    const stream = await world().stream(6);
    const runs = new Runs();
    const members = new Map<string, Consumer>();
    for (const name of ['a', 'b', 'c']) members.set(name, await member(world(), stream, name, 10_000, runs));
    const before = await settled(world(), stream, 3);
    let n = 0;
    for (const name of ['c', 'a', 'b']) {
      await world().client.sendMany(stream, messages(30, 30, n));
      n += 30;
      await members.get(name)!.stop();
      members.set(name, await member(world(), stream, name, 10_000, runs));
      await members.get(name)!.owns(2);
    }
    await caughtUp(world(), stream, 6);
    const after = await settled(world(), stream, 3);
    expect(after.generation).toBe(before.generation);
    expect(after.owners.map(({ owner }) => owner)).toEqual(before.owners.map(({ owner }) => owner));
    expect(runs.contexts).toHaveLength(90);
    expect(runs.distinct).toBe(90);
  });

  it('a seat nobody comes back to expires after rejoinMs, and not before', async () => {
    const stream = await world().stream(4);
    const a = await member(world(), stream, 'a', 800);
    const runs = new Runs();
    const b = await member(world(), stream, 'b', 800, runs);
    const { generation } = await settled(world(), stream, 2);
    const plans = b.all('partition.planned').length;
    await a.stop();
    const stoppedAt = performance.now();
    await world().client.sendMany(stream, messages(20, 20));
    await b.owns(4);
    const took = performance.now() - stoppedAt;
    expect(took).toBeGreaterThan(700);
    expect(took).toBeLessThan(4_000);
    expect((await settled(world(), stream, 1)).generation).toBeGreaterThan(generation);
    expect(b.all('partition.planned')).toHaveLength(plans + 1);
    await caughtUp(world(), stream, 4);
    expect(runs.distinct).toBe(20);
  });

  it('without rejoinMs a stop hands over at once', async () => {
    const stream = await world().stream(4);
    const a = await member(world(), stream, 'a', 0);
    const b = await member(world(), stream, 'b', 0);
    await settled(world(), stream, 2);
    const stoppedAt = performance.now();
    await a.stop();
    await b.owns(4);
    expect(performance.now() - stoppedAt).toBeLessThan(1_300);
    expect((await group(world(), stream)).members.map(({ name }) => name)).toEqual(['b']);
  });

  it('somebody who joins meanwhile leaves the kept seat its share', async () => {
    const stream = await world().stream(6);
    const a = await member(world(), stream, 'a', 10_000);
    const b = await member(world(), stream, 'b', 10_000);
    await settled(world(), stream, 2);
    const had = await a.owns(3);
    await a.stop();
    const c = await member(world(), stream, 'c', 10_000);
    await Promise.all([b.owns(2), c.owns(2)]); // one from b, one that a had and will not have
    const target = new Map((await group(world(), stream)).members.map(({ name, target: list }) => [name, list]));
    expect(target.get('a')).toHaveLength(2);
    expect(target.get('a')!.every((partition) => had.includes(partition))).toBe(true);
    const again = await member(world(), stream, 'a', 10_000);
    await again.owns(2);
    expect(again.owned).toEqual(target.get('a'));
    expect([b, c].map(({ owned }) => owned.length)).toEqual([2, 2]);
  });

  it('two living processes of one name: the second is refused and the first undisturbed', async () => {
    const stream = await world().stream(3);
    const a = await member(world(), stream, 'a', 10_000);
    await a.owns(3);
    const events = moves(a);
    await expect(member(world(), stream, 'a', 10_000)).rejects.toMatchObject({ code: 'CONSUMER_NAME_IN_USE' });
    expect(a.owned).toEqual([0, 1, 2]);
    expect(moves(a)).toBe(events);
  });

  it('needs a name', async () => {
    const stream = await world().stream(1);
    await expect(world().consumer(stream, () => undefined, { rejoinMs: 1_000 })).rejects.toThrow(InvalidOptionsError);
  });
});

onTopologies(['standalone'], 'static membership of processes that die', (world) => {
  it('a crash and a restart under the same name within ttl moves nothing', async () => {
    const stream = await world().stream(6);
    const log = new Log(world());
    const options = { session: { ttlMs: 10_000 } };
    const b = await world().consumer(stream, () => undefined, { engine: { ...options, consumerName: 'b' } });
    const a = await startChild(world(), log, { stream, options: { ...options, consumerName: 'a' } });
    const had = await childOwns(a, 3);
    const before = await settled(world(), stream, 2);
    await b.owns(3);
    const movesBefore = moves(b);
    await world().client.send(stream, { partition: had[0]!, key: 'k', data: { n: 1, how: 'late' } });
    await waitUntil(() => log.began(1).length === 1, { what: 'it is at work' });
    await a.kill();
    const killedAt = performance.now();
    const again = await startChild(world(), log, { stream, options: { ...options, consumerName: 'a' } });
    expect(await childOwns(again, 3)).toEqual(had);
    expect(performance.now() - killedAt).toBeLessThan(8_000);
    again.send('go');
    await caughtUp(world(), stream, 6);
    const after = await settled(world(), stream, 2);
    expect(after.generation).toBe(before.generation);
    expect(moves(b)).toBe(movesBefore);
    expect(after.owners.map(({ owner }) => owner)).toEqual(before.owners.map(({ owner }) => owner));
    expect(log.lines('effect').map(({ n }) => n)).toEqual([1]);
  });
});
