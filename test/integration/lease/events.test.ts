import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import type { RedisStreamsEventName, StreamLease } from './support/engine.js';
import { Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { keysOf, xadd } from './support/keys.js';
import { onTopologies } from './support/world.js';

/** Exhaustive by type: an event added to the map must be raised by this file too, unless it is another capability's. */
const EVERY: Record<Exclude<RedisStreamsEventName, `partition.${string}` | `room.${string}` | `queue.${string}` | `transport.${string}` | `deadLetters.${string}`>, true> = {
  'connection.ready': true, 'connection.error': true, 'connection.replaced': true, 'server.warning': true,
  'session.joined': true, 'session.renewed': true, 'session.lost': true, 'session.left': true,
  'lease.announced': true, 'lease.assigned': true, 'lease.takenOver': true, 'lease.expired': true, 'lease.completed': true,
  'lease.checkpointed': true, 'lease.retried': true, 'lease.released': true, 'lease.lost': true, 'lease.fenced': true,
  'lease.deadLettered': true, 'lease.handOver': true, 'lease.terminated': true,
  'reader.error': true, 'reader.recovered': true, error: true, 'hook.error': true,
};

onTopologies(['standalone'], 'events', (world) => {
  it('every one of them is raised when what it names happens', async () => {
    const { topology } = world();
    if (topology.kind !== 'standalone') return;
    const proxy = await startProxy(topology.server.port);
    const service = world().service();
    const seen = new Set<string>();
    const fenced: unknown[] = [];
    const runs = new Runs();
    const handler = async (lease: StreamLease): Promise<void> => {
      switch (lease.stream) {
        case 'checkpoint': return lease.checkpoint('1-0');
        case 'retry': if (lease.attempt === 1) throw new Error('once'); return;
        case 'release': if (runs.of('release').length === 1) await lease.release(); return;
        case 'dead': return lease.deadLetter('no');
        case 'fence':
          // What a takeover by another session leaves behind.
          await world().cli(['HDEL', keysOf(service).leases, 'fence']);
          fenced.push(await lease.done().catch((error: unknown) => error));
          await world().cli(['XDEL', keysOf(service).lbs, lease.entryId]);
          return;
        case 'hold': return untilAborted(lease);
        default: return undefined;
      }
    };
    const options = { backoff: { initialMs: 5 }, handOver: true };
    const a = await world().consumer(service, { assigned: runs.handler(handler), disowned: () => { throw new Error('a hook that fails'); } },
      { ...options, engine: { connection: { url: proxy.url }, commandTimeoutMs: 300, session: { ttlMs: 900 } } });
    a.engine.events.onAny(({ type }) => seen.add(type));
    for (const stream of ['checkpoint', 'retry', 'release', 'dead', 'fence', 'plain']) await a.leases.announce(service, stream);
    await waitUntil(() => fenced.length === 1, { what: 'one settle was refused' });
    await a.saw('lease.completed', 4);
    await a.leases.announceMany(service, Array.from({ length: 10 }, (_, i) => ({ stream: `${i}` })));
    // A dead owner, by takeover and by manual claim.
    const { join, acquire } = internals(world(), service);
    await a.saw('session.renewed');
    await join('dead:1', 60_000);
    await waitUntil(async () => {
      await xadd(world(), service, `orphan${Math.random()}`);
      const reply = await acquire('dead:1');
      return reply.status === 'ok' && reply.grants.length > 0;
    }, { what: 'the doomed one owns a stream' });
    await world().cli(['ZADD', keysOf(service).sessions, 1, 'dead:1']);
    await a.saw('lease.takenOver');
    const manual = world().service();
    const doomed = internals(world(), manual);
    await xadd(world(), manual, 'orphan');
    await doomed.join('dead:1', 60_000);
    await doomed.acquire('dead:1');
    const m = await world().consumer(manual, { assigned: () => undefined, expired: (event) => void event.claim() }, { claim: 'manual' });
    m.engine.events.onAny(({ type }) => seen.add(type));
    await world().cli(['ZADD', keysOf(manual).sessions, 1, 'dead:1']);
    await m.saw('lease.completed');
    // Hand-over to a joiner.
    const handover = world().service();
    const first = await world().consumer(handover, untilAborted, options);
    first.engine.events.onAny(({ type }) => seen.add(type));
    await first.leases.announceMany(handover, Array.from({ length: 10 }, (_, i) => ({ stream: `${i}` })));
    await first.saw('lease.assigned', 10);
    await world().consumer(handover, untilAborted, options);
    await first.saw('lease.handOver');
    // The way to the server: silent, back, then gone.
    await a.leases.announce(service, 'hold');
    await waitUntil(() => runs.streams.includes('hold'), { what: 'it holds one' });
    proxy.blackhole(true);
    await a.saw('session.lost');
    await a.saw('connection.replaced');
    proxy.blackhole(false);
    await a.saw('session.joined', 2);
    // A server set up to lose things, and a group destroyed under a waiting reader.
    await topology.server.cli('CONFIG', 'SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru');
    const careless = await world().consumer(world().service(), () => undefined);
    await careless.saw('server.warning');
    await topology.server.cli('CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction');
    const { lbs, group } = keysOf(careless.service);
    await waitUntil(async () => {
      await world().cli(['XGROUP', 'DESTROY', lbs, group], lbs);
      return careless.all('reader.error').length > 0;
    }, { what: 'a waiting reader meets it', intervalMs: 100 });
    await careless.saw('reader.recovered');
    await m.engine.stop();
    await proxy.stop();
    await a.saw('connection.error');
    await a.engine.stop();
    for (const { type } of [...a.events, ...m.events, ...first.events, ...careless.events]) seen.add(type);
    expect(Object.keys(EVERY).filter((name) => !seen.has(name))).toEqual([]);
    expect([...seen].filter((name) => !(name in EVERY))).toEqual([]);
  });

  it('a listener that throws disturbs nobody', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler());
    const thrown: unknown[] = [];
    a.engine.events.onListenerError = (error) => thrown.push(error);
    const forget = a.engine.events.on('lease.assigned', () => { throw new Error('bad listener'); });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(thrown).toHaveLength(1);
    forget();
    await a.leases.announce(service, 't');
    await a.saw('lease.completed', 2);
    expect(thrown).toHaveLength(1);
  });
});
