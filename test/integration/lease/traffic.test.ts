import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { RedisServer } from '../../support/redis-server.js';
import { untilAborted } from './support/handlers.js';
import { onTopologies } from './support/world.js';

/** Commands by name, scripts' own included, as the server counts them. */
async function counted(server: RedisServer): Promise<Map<string, number>> {
  const text = String(await server.cli('INFO', 'commandstats'));
  return new Map([...text.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map((match) => [match[1]!, Number(match[2])]));
}

onTopologies(['standalone'], 'traffic', (world) => {
  it('heartbeats cost the same with 5 leases and with 2,000', async () => {
    const { topology } = world();
    if (topology.kind !== 'standalone') return;
    const { server } = topology;
    const service = world().service();
    const a = await world().consumer(service, untilAborted, { engine: { session: { ttlMs: 900, heartbeatMs: 300 } } });
    /** Per heartbeat, over ten of them. */
    const measure = async (): Promise<number> => {
      await a.saw('session.renewed', a.all('session.renewed').length + 2);
      const beats = a.all('session.renewed').length;
      const before = await counted(server);
      await a.saw('session.renewed', beats + 10);
      const after = await counted(server);
      let total = 0;
      for (const [name, calls] of after) {
        if (!['info', 'xreadgroup', 'ping', 'client|setinfo', 'hello'].includes(name)) total += calls - (before.get(name) ?? 0);
      }
      return total / (a.all('session.renewed').length - beats);
    };
    const hold = async (count: number): Promise<void> => {
      const from = a.leases.held(service).length;
      await a.leases.announceMany(service, Array.from({ length: count - from }, (_, i) => ({ stream: `s${from + i}` })));
      await waitUntil(() => a.leases.held(service).length === count, { what: `${count} are held` });
    };
    await hold(5);
    const few = await measure();
    await hold(2_000);
    const many = await measure();
    expect(few).toBeGreaterThan(2);
    expect(Math.abs(many - few)).toBeLessThan(few * 0.15);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('an idle consumer stays quiet between heartbeats', async () => {
    const { topology } = world();
    if (topology.kind !== 'standalone') return;
    const service = world().service();
    const a = await world().consumer(service, untilAborted, { engine: { session: { ttlMs: 6_000, heartbeatMs: 3_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    await a.saw('session.renewed');
    const before = (await counted(topology.server)).get('evalsha') ?? 0;
    await a.saw('session.renewed', 2);
    // One heartbeat and one look.
    expect(((await counted(topology.server)).get('evalsha') ?? 0) - before).toBeLessThanOrEqual(3);
  });
});
