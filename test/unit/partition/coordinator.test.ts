import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Coordinator, type CoordinatorHost } from '../../../libs/redis-streams/dist/partition/coordinator.js';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';
import type { GroupStore, SyncReply } from '../../../libs/redis-streams/dist/partition/group-store.js';
import { type Fate, FakeGroup, FakeMember } from './support/fake-group.js';

const TTL = 3_000;
/** Two heartbeats and a second. */
const SETTLED = (2 * TTL) / 3 + 1_000;

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

const sizes = (members: readonly FakeMember[]): number[] => members.map(({ held }) => held.size).sort((a, b) => a - b);

/** Everything owned once, by those alive, evenly, under the tokens the server knows. */
function expectSettled(group: FakeGroup, members: readonly FakeMember[]): void {
  const held = members.flatMap((member) => [...member.held].map(([partition, token]) => [partition, { session: member.session, token }] as const)).sort(([a], [b]) => a - b);
  expect(held).toEqual(Array.from({ length: group.partitions }, (_, partition) => [partition, group.owners.get(partition)]));
  const [least, most] = [Math.min(...sizes(members)), Math.max(...sizes(members))];
  expect(most - least).toBeLessThanOrEqual(1);
  expect(group.planned).toBe(group.generation);
  expect(group.breaches).toEqual([]);
}

async function started(partitions: number, members: number, ttlMs = TTL): Promise<{ group: FakeGroup; members: FakeMember[] }> {
  const made = new FakeGroup(partitions);
  const list = Array.from({ length: members }, (_, i) => new FakeMember(made, `m${i}`, ttlMs));
  for (const member of list) member.join();
  await pass(SETTLED);
  return { group: made, members: list };
}

async function end(members: readonly FakeMember[]): Promise<void> {
  await Promise.all([...members.map((member) => member.stop()), pass(2_000)]);
}

describe('Coordinator', () => {
  it('one alone gets everything, and then looks only when a heartbeat says so', async () => {
    const { group: g, members } = await started(12, 1);
    expectSettled(g, members);
    const before = g.calls;
    await pass(TTL * 10);
    expect(g.calls - before).toBeLessThanOrEqual(31); // one short look a heartbeat
    await end(members);
  });

  it('one that joins gets its share at once, by bells alone, and nobody else\'s partition is touched', async () => {
    const { group: g, members } = await started(12, 3);
    const fourth = new FakeMember(g, 'm3', TTL);
    const tokens = new Map(g.owners);
    fourth.join();
    await pass(60);
    expectSettled(g, [...members, fourth]);
    expect([...g.owners].filter(([partition, { token }]) => tokens.get(partition)!.token !== token)).toHaveLength(3);
    await end([...members, fourth]);
  });

  it('once all is where it belongs, a look says which plan it knows and nothing else', async () => {
    const { group: g, members } = await started(12, 3);
    const fourth = new FakeMember(g, 'm3', TTL);
    fourth.join();
    await pass(SETTLED);
    g.looks.length = 0;
    await pass(TTL);
    expect(g.looks.length).toBeGreaterThanOrEqual(12);
    for (const look of g.looks) expect(look).toMatchObject({ known: `${g.planned}.0`, released: 0, held: 0 });
    await end([...members, fourth]);
  });

  it('without any bell it takes a heartbeat or two', async () => {
    const { group: g, members } = await started(12, 3);
    g.bellTravel = () => undefined;
    const fourth = new FakeMember(g, 'm3', TTL);
    fourth.join();
    await pass(SETTLED);
    expectSettled(g, [...members, fourth]);
    await end([...members, fourth]);
  });

  it('a dead member\'s partitions are taken at its deadline, and are said to be of a dead one', async () => {
    const { group: g, members } = await started(12, 3);
    const [dead, ...rest] = members as [FakeMember, ...FakeMember[]];
    const its = [...dead.held.keys()];
    dead.kill();
    await pass(TTL + SETTLED);
    dead.held.clear();
    expectSettled(g, rest);
    const taken = rest.flatMap(({ granted }) => granted).filter(({ from }) => from === 'dead').map(({ partition }) => partition);
    expect(taken.sort((a, b) => a - b)).toEqual(its.sort((a, b) => a - b));
    await end(members);
  });

  it('a moved partition is granted only when its owner has let go, however long that takes; the others are not asked', async () => {
    const { group: g, members: [first] } = await started(4, 1) as { group: FakeGroup; members: [FakeMember] };
    first.drainMs = () => 1_900;
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(1_800);
    expect([first.held.size, second.held.size]).toEqual([4, 0]);
    expect(first.revoked[0]).toHaveLength(2);
    await pass(200);
    expectSettled(g, [first, second]);
    await end([first, second]);
  });

  it('one that leaves in good order: its partitions are elsewhere within milliseconds', async () => {
    const { group: g, members } = await started(12, 4);
    const [leaver, ...rest] = members as [FakeMember, ...FakeMember[]];
    const granted = leaver.granted.length;
    const left = leaver.leave();
    await pass(80);
    await left;
    expect(leaver.granted).toHaveLength(granted);
    expectSettled(g, rest);
    await end(rest);
  });

  it('an answer that was lost is found out: what it granted is granted again under the same token', async () => {
    const { group: g, members } = await started(4, 1);
    let lose = 3;
    g.fate = (what, session) => (what === 'sync' && session.startsWith('m1') && lose-- > 0 ? 'lost' : 'ok');
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(1_000);
    expectSettled(g, [...members, second]);
    await end([...members, second]);
    // The very grant is lost.
    const again = new FakeGroup(4);
    let granting = true;
    again.fate = (what) => (what === 'sync' && granting && again.planned === 1 ? (granting = false, 'lost') : 'ok');
    const alone = new FakeMember(again, 'm0', TTL);
    alone.join();
    await pass(1_000);
    expectSettled(again, [alone]);
    expect(alone.granted.map(({ from }) => from)).toEqual(['regranted', 'regranted', 'regranted', 'regranted']);
    await end([alone]);
  });

  it('what is given back is its next owner\'s in the same call; when the ring that says so is lost, the next look says it', async () => {
    const { group: g, members } = await started(4, 1);
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(60);
    expectSettled(g, [...members, second]);
    expect(second.granted.map(({ from }) => from)).toEqual(['free', 'free']);
    g.bellTravel = (message) => (message.startsWith('granted') ? undefined : 1);
    const third = new FakeMember(g, 'm2', TTL);
    third.join();
    await pass(60);
    expect(third.held.size).toBe(0);
    await pass(TTL);
    expectSettled(g, [...members, second, third]);
    expect(third.granted.map(({ from }) => from)).toEqual(['regranted']);
    await end([...members, second, third]);
  });

  it('a ring that grants what a later look was granted, or has given up, is too late', async () => {
    const { group: g, members: [first] } = await started(4, 1) as { group: FakeGroup; members: [FakeMember] };
    g.bellTravel = (message) => (message.startsWith('granted') ? 500 : 1);
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(100);
    expect([first.held.size, second.held.size]).toEqual([2, 0]);
    // Away again before it has heard: what is its own without its knowing goes back.
    second.drainMs = () => 1;
    await Promise.all([second.leave(), pass(400)]);
    expectSettled(g, [first]);
    await pass(1_000);
    expect(second.granted).toEqual([]);
    expectSettled(g, [first]);
    await end([first]);
  });

  it('one that leaves goes on with what it has until the others know who is to have it', async () => {
    const { group: g, members } = await started(4, 2);
    const [leaver, rest] = members as [FakeMember, FakeMember];
    for (const member of members) member.revoked.length = 0;
    g.travel = () => 50; // perhaps a look is under way; then one, the roster and the plan, there and back
    const left = leaver.leave();
    await pass(200);
    expect(leaver.revoked).toEqual([]);
    await pass(200);
    expect(leaver.revoked).toHaveLength(1);
    expect(g.planned).toBe(g.generation);
    await pass(1_000);
    await left;
    expectSettled(g, [rest]);
    // Nobody answers: then not for ever.
    g.fate = () => 'refused';
    const stopped = rest.leave();
    await pass(600);
    expect(rest.revoked).toHaveLength(1);
    g.fate = () => 'ok';
    await pass(3_000);
    await stopped;
  });

  it('a look that was sent twice, and whose first answer is lost, is made again at once', async () => {
    const { group: g, members } = await started(4, 1);
    let twice = 0;
    g.fate = (what, session) => (what === 'sync' && session.startsWith('m1') && twice++ % 2 === 0 ? 'twice' : 'ok');
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(60);
    expectSettled(g, [...members, second]);
    expect(second.troubles).toEqual([]);
    expect(twice).toBeGreaterThan(2);
    await end([...members, second]);
  });

  it('what was granted without our knowing, and is not for us any more, is free for others', async () => {
    const { group: g, members } = await started(3, 1);
    let deaf = true;
    g.fate = (what, session) => (what === 'sync' && session.startsWith('m1') && deaf ? 'lost' : 'ok');
    const second = new FakeMember(g, 'm1', TTL);
    second.join();
    await pass(1_500); // the plan is the second's to make; then it is the first's
    expect([...g.owners.values()].filter(({ session }) => session === 'm1:1')).toHaveLength(1); // granted, unknown to it
    const third = new FakeMember(g, 'm0b', TTL);
    third.join();
    await pass(600);
    deaf = false;
    await pass(1_000);
    expectSettled(g, [...members, second, third]);
    await end([...members, second, third]);
  });

  it('a release whose answer was lost is said again, and is not taken for a release of the next grant', async () => {
    const { group: g, members } = await started(4, 2);
    let lose = 2;
    g.fate = (what) => (what === 'sync' && lose-- > 0 ? 'lost' : 'ok');
    const [first] = members as [FakeMember, FakeMember];
    const [partition, token] = [...first.held][0]!;
    first.held.delete(partition);
    first.coordinator.release(partition, token); // fenced, say: it is still in its target
    await pass(1_000);
    expectSettled(g, members);
    expect(first.held.get(partition)).toBeGreaterThan(token);
    await end(members);
  });

  it('a fence that somebody has raised is stepped over by the next grant', async () => {
    const { group, members: [only] } = await started(1, 1) as { group: FakeGroup; members: [FakeMember] };
    const token = only.held.get(0)!;
    only.held.delete(0);
    let lose = 1;
    group.fate = () => (lose-- > 0 ? 'refused' : 'ok'); // what was to be said about it is said again
    only.coordinator.release(0, token, token + 1_000);
    await pass(300);
    expect(only.held.get(0)).toBeGreaterThan(token + 1_000);
    await end([only]);
  });

  describe('plans', () => {
    it('one for a roster that has changed meanwhile is not installed, and made anew', async () => {
      const g = new FakeGroup(6);
      g.bellTravel = () => undefined;
      const [a, b, c] = ['a', 'b', 'c'].map((name) => new FakeMember(g, name, 60_000)) as [FakeMember, FakeMember, FakeMember];
      const plans: Array<[number, number]> = [];
      for (const member of [a, b, c]) member.events.on('partition.planned', ({ generation, members }) => plans.push([generation, members]));
      let slow = true;
      g.travel = () => (slow ? 40 : 1);
      a.join();
      await pass(130); // has the roster, and plans
      b.join();
      c.join();
      await pass(500);
      expect(g.planned).toBe(3); // at once: nobody had to wait for the planner's turn to end
      slow = false;
      g.bellTravel = () => 1;
      g.ring('plan');
      await pass(100);
      expectSettled(g, [a, b, c]);
      for (const [generation, members] of plans) expect([generation, members]).toEqual([generation, generation]); // each joined one by one: generation n has n members
      await end([a, b, c]);
    });

    it('a planner that dies over it is waited for a second, not longer', async () => {
      const { group: g, members } = await started(4, 2, 60_000);
      const third = new FakeMember(g, 'm2', 60_000);
      g.fate = (what, session) => (what === 'plan' && session.startsWith('m2') ? 'refused' : 'ok');
      third.join();
      await pass(200);
      expect(g.planned).toBeLessThan(g.generation);
      third.kill();
      await pass(1_200);
      expect(g.planned).toBe(g.generation);
      await end([...members, third]);
    });

    it('a planner that lives, but whose plans do not arrive, is not waited for for ever', async () => {
      const { group: g, members } = await started(4, 2);
      const third = new FakeMember(g, 'm2', TTL);
      g.fate = (what, session) => (what !== 'sync' && session.startsWith('m2') ? 'refused' : 'ok');
      third.join();
      await pass(1_100);
      expect(g.planned).toBe(g.generation);
      await pass(200);
      expectSettled(g, [...members, third]);
      await end([...members, third]);
    });

    it('an answer to a plan that was lost: the plan stands', async () => {
      const { group: g, members } = await started(4, 1);
      let lose = 1;
      g.fate = (what) => (what === 'plan' && lose-- > 0 ? 'lost' : 'ok');
      const second = new FakeMember(g, 'm1', TTL);
      second.join();
      await pass(1_000);
      expectSettled(g, [...members, second]);
      await end([...members, second]);
    });
  });

  it('what comes back under a new token while an answer is under way that says it is gone stays', async () => {
    const { group: g, members: [first] } = await started(1, 1, 60_000) as { group: FakeGroup; members: [FakeMember] };
    const store = (first.coordinator as unknown as { store: GroupStore }).store;
    const { sync } = store;
    const token = first.held.get(0)! + 5;
    store.sync = async (...args) => {
      store.sync = sync;
      g.owners.set(0, { session: 'm0:1', token });
      first.rung(`granted m0:1 ${args[7]} 0 ${token}`);
      return { version: `${g.planned}.${g.revision}`, due: '', paused: new Set<number>(), nextAwayMs: -1, changed: false, rows: [{ partition: 0, token: 0, how: 'gone' }] };
    };
    first.rung('plan 0'); // to be asked in full
    await pass(100);
    expect(first.held.get(0)).toBe(token);
    expectSettled(g, [first]);
    await end([first]);
  });

  it('a session that ended while an answer was under way is not granted anything by it', async () => {
    const g = new FakeGroup(2);
    const member = new FakeMember(g, 'a', TTL);
    g.travel = () => 200;
    member.join();
    await pass(1_500); // a look, the roster, the plan; the look that is granted something is on its way back
    expect([...g.owners.values()].map(({ session }) => session)).toEqual(['a:1', 'a:1']);
    g.deadlines.set('a:other', Date.now() + 60_000);
    member.session = 'a:other';
    member.coordinator.reset();
    await pass(300);
    expect(member.granted).toEqual([]);
    await end([member]);
  });

  it('tells of errors that will not pass by themselves, and goes on', async () => {
    const { group: g, members: [only] } = await started(2, 1) as { group: FakeGroup; members: [FakeMember] };
    const store = (only.coordinator as unknown as { store: { sync: unknown } }).store;
    const { sync } = store;
    store.sync = () => Promise.reject(new Error('WRONGTYPE Operation against a key'));
    only.coordinator.sync();
    await pass(2_500);
    expect(only.troubles.length).toBeGreaterThan(1);
    expect(only.troubles.length).toBeLessThan(5);
    store.sync = sync;
    await pass(2_000);
    expectSettled(g, [only]);
    await end([only]);
  });

  it('hears of pauses with every look', async () => {
    const { group: g, members } = await started(2, 1);
    g.paused = new Set([1]);
    g.ring('paused');
    await pass(20);
    expect(members[0]!.paused).toEqual(new Set([1]));
    await end(members);
  });

  it('a ring that says that something is free is no work for who waits for nothing', async () => {
    const { group: g, members } = await started(4, 2);
    await pass(50);
    const before = g.calls;
    for (const message of ['free', 'joined', 'away']) g.ring(message);
    await pass(100);
    expect(g.calls).toBe(before);
    g.ring('evicted');
    await pass(100);
    expect(g.calls).toBeGreaterThan(before);
    await end(members);
  });

  it('a ring that overtakes the answer it is about is not lost', async () => {
    const { group: g, members: [first] } = await started(2, 1, 60_000) as { group: FakeGroup; members: [FakeMember] };
    const before = g.looks.length;
    first.coordinator.sync();
    await pass(1); // done; the answer is on its way
    first.rung('free');
    await pass(20);
    expect(g.looks.length - before).toBe(2);
    await end([first]);
  });

  it('what was granted anew in an answer that was lost, and is to be another one\'s since, does not stay with who knows nothing of it', async () => {
    const { group: g, members: [first] } = await started(2, 1, 60_000) as { group: FakeGroup; members: [FakeMember] };
    let looks = 0;
    g.fate = (what, session) => (what === 'sync' && session === 'm0:1' && ++looks === 2 ? 'lost' : 'ok');
    g.evict(() => true);
    await pass(5);
    // Both are its own again, under tokens it does not know.
    expect([...g.owners.values()].map(({ session, token }) => [session, [...first.held.values()].includes(token)])).toEqual([['m0:1', false], ['m0:1', false]]);
    const second = new FakeMember(g, 'm1', 60_000);
    second.join();
    await pass(2_000);
    expectSettled(g, [first, second]);
    await end([first, second]);
  });

  it('a session that the server does not know any more is told to be over', async () => {
    const { group: g, members: [first] } = await started(2, 1, 60_000) as { group: FakeGroup; members: [FakeMember] };
    g.forgotten.add('m0:1');
    g.leave('m0:1', 'm0');
    g.deadlines.set('m0:1', Date.now() + 60_000); // it does not know yet
    first.coordinator.sync();
    await pass(100);
    expect(first.session).toBe('m0:2');
    expectSettled(g, [first]);
    await end([first]);
  });

  it('waits for another one\'s plan no longer than it lives', async () => {
    const { group: g, members } = await started(2, 1, 60_000);
    g.fate = (what) => (what === 'sync' ? 'ok' : 'refused');
    const second = new FakeMember(g, 'm1', 60_000);
    second.join();
    await pass(50);
    await Promise.all([...[...members, second].map((member) => member.stop()), pass(500)]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no timer behind', async () => {
    const { members } = await started(4, 3);
    await end(members);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('whatever comes and goes, whatever is lost on the way: no two live ones ever hold the same, and it all comes to rest', async () => {
    const fate = fc.constantFrom<Fate>('ok', 'ok', 'ok', 'ok', 'lost', 'refused');
    const event = fc.tuple(fc.constantFrom('join', 'join', 'join', 'kill', 'kill', 'leave', 'evict', 'fence'), fc.nat({ max: 30 }), fc.nat({ max: 900 }));
    const life = fc.record({
      partitions: fc.integer({ min: 1, max: 12 }), events: fc.array(event, { minLength: 1, maxLength: 14 }), fates: fc.array(fate, { minLength: 1, maxLength: 30 }),
      travels: fc.array(fc.constantFrom(0, 1, 3, 20, 150, 700), { minLength: 1, maxLength: 8 }), bells: fc.array(fc.constantFrom(1, 5, 80, 500, undefined), { minLength: 1, maxLength: 6 }),
      drains: fc.array(fc.constantFrom(0, 1, 40, 400), { minLength: 1, maxLength: 5 }),
    });
    await fc.assert(fc.asyncProperty(life, async ({ partitions, events, fates, travels, bells, drains }) => {
      const g = new FakeGroup(partitions);
      const turn = <T>(list: readonly T[]): (() => T) => {
        let i = 0;
        return () => list[i++ % list.length]!;
      };
      g.fate = turn(fates);
      g.travel = turn(travels);
      g.bellTravel = turn(bells);
      const drainMs = turn(drains);
      const all: FakeMember[] = [];
      let alive: FakeMember[] = [];
      const start = (): void => {
        const member = new FakeMember(g, `m${all.length}`, TTL);
        member.drainMs = drainMs;
        all.push(member);
        alive.push(member);
        member.join();
      };
      start();
      const leaving: Array<Promise<void>> = [];
      for (const [what, n, ms] of events) {
        const member = alive[n % Math.max(1, alive.length)];
        if (what === 'join' || !member) start();
        else if (what === 'evict') g.evict((partition) => partition % 3 === n % 3);
        else if (what === 'fence') { // a commit of its was refused
          const [partition, token] = [...member.held][n % Math.max(1, member.held.size)] ?? [];
          if (partition !== undefined && token !== undefined && member.held.delete(partition)) member.coordinator.release(partition, token, g.epoch + n);
        } else if (alive.length > 1) {
          alive = alive.filter((other) => other !== member);
          if (what === 'kill') member.kill();
          else leaving.push(member.leave());
        }
        await pass(ms);
      }
      expect(g.breaches).toEqual([]);
      g.fate = () => 'ok';
      g.travel = () => 1;
      const before = g.calls;
      await pass(TTL + 2_500 + SETTLED);
      await Promise.all(leaving);
      for (const member of all) if (!alive.includes(member)) member.held.clear();
      expectSettled(g, alive);
      expect((g.calls - before) / all.length).toBeLessThan(60); // and nobody is busy asking
      await end(all);
    }), { numRuns: 300 });
  }, 60_000);

  it('that was asked to look while it had no session looks when it has one again', async () => {
    vi.useRealTimers();
    const looks: string[] = [];
    const store = {
      stream: 's', group: 'g', partitions: 1,
      sync: async (session: string): Promise<SyncReply> => {
        looks.push(session);
        return { due: '', paused: new Set(), nextAwayMs: -1, changed: false, version: '0.0', rows: [] };
      },
    } as unknown as GroupStore;
    let session: { id: string; member: string } | undefined;
    const nothing = (): void => undefined;
    const host: CoordinatorHost = { session: () => session, held: () => [], granted: nothing, revoke: nothing, gone: nothing, paused: nothing, refused: nothing, trouble: nothing };
    const coordinator = new Coordinator(store, new RedisStreamsEvents(), host);
    coordinator.release(0, 1); // a partition whose hand-over ends after the session it was of
    await new Promise((resolve) => setImmediate(resolve));
    session = { id: 'm:2', member: 'm' };
    coordinator.reset();
    coordinator.sync();
    await vi.waitFor(() => expect(looks).toEqual(['m:2']));
    await coordinator.stop();
  });
});
