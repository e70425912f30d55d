import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { AlreadyClaimedError, InvalidOptionsError, type ExpiredStream } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, consumersOf, keysOf, pendingByConsumer, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'manual claim', (world) => {
  /** An owner of these streams, to be started before any other consumer; `die` puts its deadline in the past. */
  async function doomed(service: string, streams: readonly string[]): Promise<{ tokens: Map<string, number>; die(): Promise<void> }> {
    const { join, acquire } = internals(world(), service);
    for (const stream of streams) await xadd(world(), service, stream);
    await join('dead:1', 60_000);
    const reply = await acquire('dead:1');
    if (reply.status !== 'ok') throw new Error('no session');
    return {
      tokens: new Map(reply.grants.map(({ stream, token }) => [String(stream), token])),
      die: async () => { await world().cli(['ZADD', keysOf(service).sessions, 1, 'dead:1']); },
    };
  }

  it('tells every live consumer of each dead owner\'s stream, once; nothing is taken by itself', async () => {
    const service = world().service();
    const told: ExpiredStream[][] = [[], [], []];
    const { tokens, die } = await doomed(service, ['s1', 's2']);
    const runs = new Runs();
    const consumers = await Promise.all(told.map((list) =>
      world().consumer(service, { assigned: runs.handler(), expired: (event) => void list.push(event) }, { claim: 'manual' })));
    await die();
    await waitUntil(() => told.every((list) => list.length === 2), { what: 'all three are told of both' });
    for (const consumer of consumers) await consumer.saw('session.renewed', consumer.all('session.renewed').length + 3);
    for (const list of told) {
      expect(list.map(({ stream, previousOwner, token }) => [stream, previousOwner, token]).sort()).toEqual([
        ['s1', 'dead:1', tokens.get('s1')], ['s2', 'dead:1', tokens.get('s2')],
      ]);
    }
    expect(runs.leases).toEqual([]);
    expect(await pendingByConsumer(world(), service)).toEqual({ 'dead:1': 2 });
    expect(await consumers[0]!.leases.stats(service)).toMatchObject({ expired: 2, held: 0 });
    expect((await consumers[0]!.leases.list(service)).map(({ state, owner }) => [state, owner])).toEqual([['expired', 'dead:1'], ['expired', 'dead:1']]);
  });

  it('goes beyond maxLeases, and counts: nothing is taken by itself until there is room again', async () => {
    const service = world().service();
    const { die } = await doomed(service, ['s1', 's2', 's3']);
    const runs = new Runs();
    const ends = new Map(['s1', 's2', 's3', 'new'].map((stream) => [stream, gate()]));
    const a = await world().consumer(service, runs.handler(({ stream }) => ends.get(stream)!.opened), { claim: 'manual', maxLeases: 2 });
    await die();
    for (const stream of ['s1', 's2', 's3']) await a.leases.claim(service, stream);
    await waitUntil(() => runs.leases.length === 3, { what: 'all claimed ones run' });
    await a.leases.announce(service, 'new');
    ends.get('s1')!.open();
    await a.saw('lease.completed');
    await a.saw('session.renewed', a.all('session.renewed').length + 3);
    expect(runs.of('new')).toEqual([]); // two are held, which is the bound
    ends.get('s2')!.open();
    await waitUntil(() => runs.of('new').length === 1, { what: 'the new one runs' });
    for (const end of ends.values()) end.open();
    await allDone(world(), service);
  });

  it('the first claim wins, all others are told who has it; then the handler runs with it', async () => {
    const service = world().service();
    const told: ExpiredStream[] = [];
    const runs = new Runs();
    const { tokens, die } = await doomed(service, ['s']);
    await Promise.all([1, 2, 3, 4].map(() =>
      world().consumer(service, { assigned: runs.handler(untilAborted), expired: (event) => void told.push(event) }, { claim: 'manual' })));
    await die();
    await waitUntil(() => told.length === 4, { what: 'all are told' });
    const results = await Promise.allSettled(told.map((event) => event.claim()));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await waitUntil(() => runs.leases.length === 1, { what: 'the handler runs' });
    const [lease] = runs.leases;
    for (const result of results) {
      if (result.status !== 'rejected') continue;
      expect(result.reason).toBeInstanceOf(AlreadyClaimedError);
      expect(result.reason).toMatchObject({ stream: 's', owner: lease!.owner });
    }
    expect(lease).toMatchObject({ recovered: true, previousOwner: 'dead:1', attempt: 2 });
    expect(lease!.token).toBeGreaterThan(tokens.get('s')!);
    // Claimed already, by itself as well.
    const again = await Promise.allSettled(told.map((event) => event.claim()));
    expect(again.every((result) => result.status === 'rejected' && result.reason instanceof AlreadyClaimedError)).toBe(true);
    expect(runs.leases).toHaveLength(1);
    expect(await pendingByConsumer(world(), service)).toEqual({ [lease!.owner]: 1 });
  });

  it('a dead consumer is forgotten once its last stream was claimed', async () => {
    const service = world().service();
    const { die } = await doomed(service, ['s1', 's2', 's3']);
    const a = await world().consumer(service, { assigned: () => undefined, expired: (event) => void event.claim().catch(() => undefined) }, { claim: 'manual' });
    await die();
    await allDone(world(), service);
    await waitUntil(async () => !(await consumersOf(world(), service)).includes('dead:1'), { what: 'the dead consumer is gone' });
    expect(await world().cli(['HEXISTS', keysOf(service).members, 'dead:1'])).toBe(0);
    expect(a.all('lease.expired')).toHaveLength(3);
  });

  it('what is completed, unknown or owned by a live consumer cannot be claimed', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((lease) => (lease.stream === 'held' ? untilAborted(lease) : undefined)), { claim: 'manual' });
    const b = await world().consumer(service, untilAborted, { claim: 'manual', maxLeases: 1 });
    await a.leases.announce(service, 'completed');
    await waitUntil(() => a.all('lease.completed').length + b.leases.held(service).length > 0, { what: 'it is taken' });
    for (const held of b.leases.held(service)) await held.done();
    await expect(a.leases.claim(service, 'completed')).rejects.toThrow(AlreadyClaimedError);
    await expect(a.leases.claim(service, 'never heard of')).rejects.toThrow(AlreadyClaimedError);
    await a.leases.announce(service, 'held');
    await waitUntil(() => [a, b].some((c) => c.leases.held(service).length === 1), { what: 'it is held' });
    const [owner, other] = a.leases.held(service).length === 1 ? [a, b] : [b, a];
    await expect(other.leases.claim(service, 'held')).rejects.toMatchObject({ code: 'ALREADY_CLAIMED', owner: owner.session });
    await expect(owner.leases.claim(service, 'held')).rejects.toMatchObject({ code: 'ALREADY_CLAIMED', owner: owner.session });
    await expect(world().engine().leases().claim(service, 'held')).rejects.toThrow(InvalidOptionsError);
  });

  it('what a process was delivered but never owned is not lost with it', async () => {
    const service = world().service();
    const runs = new Runs();
    const expired: string[] = [];
    await world().consumer(service, { assigned: runs.handler(), expired: ({ stream }) => void expired.push(stream) }, { claim: 'manual', maxLeases: 1_000 });
    const { lbs, group } = keysOf(service);
    // A blocking read was answered, and the process died before it asked for the lease. In one script, so that
    // no consumer comes between; once as any producer announces, once as the service does.
    const script = `local id = redis.call('XADD', KEYS[1], '*', 'lbs-input', '{"DataStreamName":"' .. ARGV[1] .. '"}')
      if ARGV[3] == 'queued' then redis.call('HSET', KEYS[2], ARGV[1], id .. ' 0 queued 0 0 1 - 0') end
      return redis.call('XREADGROUP', 'GROUP', ARGV[2], 'ghost:1', 'COUNT', '1', 'STREAMS', KEYS[1], '>')`;
    for (const [stream, record] of [['plain', ''], ['announced', 'queued']] as const) {
      expect(JSON.stringify(await world().cli(['EVAL', script, 2, lbs, keysOf(service).leases, stream, group, record], lbs))).toContain(stream);
    }
    await allDone(world(), service);
    expect(runs.streams.sort()).toEqual(['announced', 'plain']);
    expect(expired).toEqual([]); // nobody ever owned them
  });

  it('released and failed streams need no claim', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async (lease, n) => {
      if (n === 1) await lease.release();
      if (n === 2) throw new Error('once');
    }), { claim: 'manual', backoff: { initialMs: 10 } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(runs.leases).toHaveLength(3);
    expect(a.all('lease.expired')).toEqual([]);
  });
});
