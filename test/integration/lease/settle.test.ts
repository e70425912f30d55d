import { describe, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { FencedError, type StreamLease } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, consumersOf, keysOf, pendingByConsumer, pendingTotal, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'settle', (world) => {
  it('auto: the return of the handler is done; acknowledged and deleted, no record left', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((lease) => lease.checkpoint('5-0')));
    await a.leases.announce(service, 's');
    const [event] = await a.saw('lease.completed');
    expect(event).toMatchObject({ stream: 's', attempt: 1, owner: a.session, token: runs.leases[0]!.token });
    const keys = keysOf(service);
    expect(await pendingTotal(world(), service)).toBe(0);
    expect(await world().cli(['XLEN', keys.lbs])).toBe(0);
    for (const key of [keys.leases, keys.checkpoints, keys.free, keys.followUps]) expect(await world().cli(['EXISTS', key])).toBe(0);
  });

  it('manual: the stream stays owned after the return, until done', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { settle: 'manual' });
    await a.leases.announce(service, 's');
    await waitUntil(() => runs.leases.length === 1 && runs.now.get('s') === 0, { what: 'the handler has returned' });
    await a.saw('session.renewed', 3);
    expect(await pendingByConsumer(world(), service)).toEqual({ [a.session!]: 1 });
    expect(a.leases.held(service).map(({ stream }) => stream)).toEqual(['s']);
    await runs.leases[0]!.done();
    expect(await pendingTotal(world(), service)).toBe(0);
    expect(a.leases.held(service)).toEqual([]);
    expect(runs.leases).toHaveLength(1);
  });

  it('done twice changes nothing, one after the other or at once', async () => {
    const service = world().service();
    const results: unknown[] = [];
    const a = await world().consumer(service, async (lease) => {
      results.push(...(await Promise.allSettled([lease.done(), lease.done()])).map(({ status }) => status));
      await lease.done();
    });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    await allDone(world(), service);
    expect(results).toEqual(['fulfilled', 'fulfilled']);
    expect(a.all('lease.completed')).toHaveLength(1);
    expect(a.all('lease.fenced')).toEqual([]);
    expect(a.all('lease.lost')).toEqual([]);
  });

  it.each(['release', 'deadLetter'] as const)('done after %s is refused: the work was not accepted', async (way) => {
    const service = world().service();
    const outcomes: unknown[] = [];
    let tried = false;
    const a = await world().consumer(service, async (lease) => {
      if (tried) return;
      tried = true;
      await (way === 'release' ? lease.release() : lease.deadLetter('no'));
      outcomes.push(await lease.done().catch((error: unknown) => error));
      outcomes.push(await lease.checkpoint('1-0').catch((error: unknown) => error));
    });
    await a.leases.announce(service, 's');
    await waitUntil(() => outcomes.length === 2, { what: 'both were tried' });
    expect(outcomes[0]).toBeInstanceOf(FencedError);
    expect(outcomes[1]).toBeInstanceOf(FencedError);
    await allDone(world(), service);
  });

  it('what comes too late and nobody waits for ends no process', async () => {
    const service = world().service();
    const runs = new Runs();
    const rejections: unknown[] = [];
    const unhandled = (error: unknown): void => void rejections.push(error);
    process.on('unhandledRejection', unhandled);
    try {
      const a = await world().consumer(service, runs.handler(), { settle: 'manual' });
      await a.leases.announce(service, 's');
      await waitUntil(() => runs.leases.length === 1, { what: 'the handler runs' });
      const lease = runs.leases[0]!;
      await lease.done();
      void lease.release();
      void lease.deadLetter('late');
      void lease.checkpoint('5-0');
      expect(await failure(lease.release())).toBeInstanceOf(FencedError);
      await new Promise((resolve) => setImmediate(resolve)); // rejections nobody handles are told after a turn
      expect(rejections).toEqual([]);
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('release and done at once: exactly one of them is accepted, and each is told the truth', async () => {
    const service = world().service();
    const outcomes: string[] = [];
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async (lease, n) => {
      if (n > 1) return;
      outcomes.push(...(await Promise.allSettled([lease.release(), lease.done()])).map(({ status }) => status));
    }));
    await a.leases.announce(service, 's');
    await waitUntil(() => outcomes.length === 2, { what: 'both have settled' });
    await allDone(world(), service);
    await a.saw('lease.completed');
    expect(outcomes).toEqual(['fulfilled', 'rejected']);
    expect(runs.leases).toHaveLength(2); // released, so it ran again
  });

  it('release gives the stream to a peer at once, without an attempt counted', async () => {
    const service = world().service();
    const seen: StreamLease[] = [];
    let given = false;
    const handler = async (lease: StreamLease): Promise<void> => {
      seen.push(lease);
      if (given) return;
      given = true;
      await lease.release();
      await waitUntil(() => lease.signal.aborted, { what: 'the signal' });
      expect(lease.signal.reason).toMatchObject({ code: 'LEASE_ABORTED', reason: 'released' });
    };
    const a = await world().consumer(service, handler);
    await a.leases.announce(service, 's');
    await allDone(world(), service);
    await waitUntil(() => seen.length === 2, { what: 'it ran again' });
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(seen[1]!.token).toBeGreaterThan(seen[0]!.token);
    expect(seen[1]!.previousOwner).toBe(seen[0]!.owner);
    expect(a.all('lease.released')).toMatchObject([{ reason: 'handler' }]);
  });

  it('deadLetter moves the announcement with its reason, attempts and checkpoint', async () => {
    const service = world().service();
    const a = await world().consumer(service, async (lease) => {
      await lease.checkpoint('7-1');
      await lease.deadLetter('customer unknown');
    });
    await a.leases.announce(service, 's', { a: 1 });
    await allDone(world(), service);
    const [letter] = await a.leases.deadLetters(service);
    expect(letter).toMatchObject({ reason: 'customer unknown', stream: 's', attempts: 1 });
    expect(letter!.fields).toMatchObject({ checkpoint: '7-1', owner: a.session, 'entry.lbs-input': '{"DataStreamName":"s","Info":{"a":1}}' });
    expect(await world().cli(['EXISTS', keysOf(service).checkpoints])).toBe(0);
    expect(a.all('lease.completed')).toEqual([]);
  });

  it('a checkpoint that is no stream id is refused before it reaches the server', async () => {
    const service = world().service();
    const errors: unknown[] = [];
    const a = await world().consumer(service, async (lease) => {
      for (const id of ['', 'x', '1-2-3', '-', '$', '1 2']) errors.push(await lease.checkpoint(id).catch((error: unknown) => error));
    });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(errors).toHaveLength(6);
    for (const error of errors) expect(error).toBeInstanceOf(TypeError);
  });

  describe('after a takeover', () => {
    it('the next owner has the checkpoint, the old one is refused and changes nothing', async () => {
      const service = world().service();
      const { join, acquire, store } = internals(world(), service);
      await join('old:1', 300);
      const id = await xadd(world(), service, 's');
      const granted = await acquire('old:1');
      expect(granted.status).toBe('ok');
      if (granted.status !== 'ok') return;
      const { token } = granted.grants[0]!;
      expect(await store.settle('old:1', 1, [{ operation: 'checkpoint', stream: 's', token, a: '3-0', b: '' }])).toEqual(['OK']);
      const seen: StreamLease[] = [];
      const hold = gate();
      const a = await world().consumer(service, async (lease) => { seen.push(lease); await hold.opened; });
      await waitUntil(() => seen.length === 1, { what: 'the stream is taken over' });
      expect(seen[0]).toMatchObject({ entryId: id, attempt: 2, recovered: true, previousOwner: 'old:1', lastCheckpoint: '3-0' });
      expect(seen[0]!.token).toBeGreaterThan(token);
      await a.saw('lease.takenOver');
      const keys = keysOf(service);
      const before = await world().cli(['HGETALL', keys.leases]);
      for (const operation of ['done', 'checkpoint', 'release', 'retry', 'dead'] as const) {
        expect(await store.settle('old:1', 2, [{ operation, stream: 's', token, a: '9-0', b: '' }])).toBeUndefined();
        // A live session with a stale token is refused as well.
        expect(await store.settle(a.session!, 100, [{ operation, stream: 's', token, a: '9-0', b: '' }])).toEqual(['FENCED']);
        await world().cli(['HDEL', keys.settled, a.session!]);
      }
      expect(await world().cli(['HGETALL', keys.leases])).toEqual(before);
      expect(await world().cli(['HGET', keys.checkpoints, 's'])).toBe('3-0');
      expect(await world().cli(['XLEN', keys.lbs])).toBe(1);
      expect(await world().cli(['EXISTS', keys.dead])).toBe(0);
      hold.open();
      await allDone(world(), service);
      expect(await consumersOf(world(), service)).not.toContain('old:1');
    });

    it('a settle of an expired session is refused although nobody has reaped it', async () => {
      const service = world().service();
      const { join, acquire, store, sessions } = internals(world(), service);
      await join('old:1', 250);
      await xadd(world(), service, 's');
      const granted = await acquire('old:1');
      if (granted.status !== 'ok') throw new Error('no session');
      const { token } = granted.grants[0]!;
      const { sessions: key } = keysOf(service);
      await waitUntil(async () => {
        const [seconds, micros] = await world().cli(['TIME'], key) as [string, string];
        return Number(seconds) * 1_000 + Number(micros) / 1_000 > Number(await world().cli(['ZSCORE', key, 'old:1'])) + 1;
      }, { what: 'the deadline is past' });
      // Still in every table: nobody has looked since.
      expect(await pendingByConsumer(world(), service)).toEqual({ 'old:1': 1 });
      expect(await store.settle('old:1', 1, [{ operation: 'done', stream: 's', token, a: '', b: '' }])).toBeUndefined();
      expect((await sessions.heartbeat('old:1', '', 60_000, 2_000)).status).toBe('lost');
      expect((await acquire('old:1')).status).toBe('lost');
      expect((await store.claim('old:1', 's')).status).toBe('lost');
      expect(await pendingTotal(world(), service)).toBe(1);
    });
  });

  describe('answers that were lost', () => {
    it('a batch sent again is answered as before, also when it was the last thing the session did', async () => {
      const service = world().service();
      const { join, acquire, store } = internals(world(), service);
      await join('a:1', 250);
      await xadd(world(), service, 's');
      const granted = await acquire('a:1');
      if (granted.status !== 'ok') throw new Error('no session');
      const items = [
        { operation: 'done', stream: 's', token: granted.grants[0]!.token, a: '', b: '' },
        { operation: 'done', stream: 'other', token: 1, a: '', b: '' },
      ] as const;
      expect(await store.settle('a:1', 1, items)).toEqual(['OK', 'FENCED']);
      expect(await store.settle('a:1', 1, items)).toEqual(['OK', 'FENCED']);
      const { sessions: key } = keysOf(service);
      await world().cli(['ZADD', key, '1', 'a:1']);
      expect(await store.settle('a:1', 1, items)).toEqual(['OK', 'FENCED']);
      expect(await store.settle('a:1', 2, items)).toBeUndefined();
    });

    it('a batch that arrives after a later one, from a connection given up, is not applied', async () => {
      const service = world().service();
      const { join, acquire, store } = internals(world(), service);
      await join('a:1');
      await xadd(world(), service, 's');
      const granted = await acquire('a:1');
      if (granted.status !== 'ok') throw new Error('no session');
      const { token } = granted.grants[0]!;
      const at = (id: string) => [{ operation: 'checkpoint', stream: 's', token, a: id, b: '' }] as const;
      await store.settle('a:1', 1, at('10-0'));
      await store.settle('a:1', 2, at('20-0'));
      await store.settle('a:1', 1, at('10-0')).catch(() => undefined);
      expect(await world().cli(['HGET', keysOf(service).checkpoints, 's'])).toBe('20-0');
      // The later batch is still remembered for its own resend.
      await world().cli(['HDEL', keysOf(service).checkpoints, 's']);
      expect(await store.settle('a:1', 2, at('20-0'))).toEqual(['OK']);
      expect(await world().cli(['HEXISTS', keysOf(service).checkpoints, 's'])).toBe(0);
    });
  });

  it('a name that is not UTF-8 ends in the dead letters and disturbs no stream of a similar name', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(untilAborted));
    await a.leases.announce(service, 'x\ufffd');
    await waitUntil(() => runs.leases.length === 1, { what: 'the good stream runs' });
    const { redis } = internals(world(), service);
    const payload = Buffer.concat([Buffer.from('{"DataStreamName":"x'), Buffer.from([0xff]), Buffer.from('"}')]);
    await redis.commands.call('XADD', [keysOf(service).lbs, '*', 'lbs-input', payload]);
    await a.saw('lease.deadLettered');
    expect((await a.leases.deadLetters(service)).map(({ reason }) => reason)).toEqual(['invalid-utf8']);
    expect(a.all('lease.lost')).toEqual([]);
    expect(runs.leases[0]!.signal.aborted).toBe(false);
    expect(await pendingTotal(world(), service)).toBe(1);
  });
});
