import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { type Child, Log, spawnChild } from './fixtures/child.js';
import { consume } from './support/consumer.js';
import { numbers } from './support/handlers.js';
import { drained } from './support/state.js';
import { onTopologies } from './support/world.js';

const ENDS_WITHIN_MS = 2_000;
/** CHILDREN=200 looks longer. */
const CHILDREN = Number(process.env['CHILDREN'] ?? 6);
const AT_ONCE = 3;

/** Waits until its engine has stopped; from then on nothing may keep the process. */
async function endOf(child: Child, what: string): Promise<void> {
  await child.waitFor(({ type }) => type === 'stopped' || type === 'failed', 20_000, `its stop (${what})`);
  const ended = await Promise.race([child.exited, sleep(ENDS_WITHIN_MS, undefined)]);
  if (!ended) throw new Error(`${what}: still there ${ENDS_WITHIN_MS} ms after its engine's stop\n${child.output()}`);
  expect(ended, `${what}\n${child.output()}`).toEqual({ code: 0, signal: null });
}

onTopologies(['standalone'], 'the end of a process that consumes', (world) => {
  it('ends by itself at any moment, while its connections break or are silent, and while it is stopped by signals; every message is handled', async () => {
    const rng = createRng(seedFromEnv('queue process-end'));
    const server = await world().serverOf('');
    const queue = await world().queue({ shards: 2 });
    const log = new Log(world());
    const failing = { maxAttempts: 1_000, initialMs: 5, maxMs: 20 };
    let left = CHILDREN;
    const play = async (): Promise<void> => {
      while (left-- > 0) {
        const draw = rng.fork();
        const proxy = await startProxy(server.port, { seed: draw.seed });
        if (draw.chance(0.6)) proxy.setFaults({ latencyMs: [0, draw.int(0, 15)], ...(draw.chance(0.5) ? { lifetimeMs: [30, 800], halfOpenChance: 0.1 } : {}) });
        const ttlMs = draw.pick([300, 600, 1_000]);
        const child = spawnChild(world(), log, { queue, tuning: { prefetch: 32, concurrency: 4, maxCrashes: 0, retry: failing }, options: { connection: { url: proxy.url }, session: { ttlMs }, commandTimeoutMs: 500 } });
        const done = [`seed ${draw.seed}`, `ttl ${ttlMs}`];
        const step = async (name: string, ms: number): Promise<void> => (done.push(`${name} ${ms} ms`), sleep(ms));
        await child.waitFor(({ type }) => type === 'connection.ready', 15_000, 'its first connection');
        await step('ran', draw.int(0, 400));
        for (let faults = draw.int(0, 2); faults > 0; faults--) {
          if (draw.chance(0.4)) {
            child.stopProcess();
            await step('SIGSTOP', draw.int(50, 2 * ttlMs));
            child.continue();
          } else {
            done.push('cut');
            proxy.cutAll();
          }
          await step('ran', draw.int(0, draw.chance(0.5) ? 30 : 300));
        }
        child.send('stop');
        if (draw.chance(0.4)) {
          await step('stopping', draw.int(0, 30));
          if (draw.chance(0.5)) proxy.cutAll();
          else proxy.blackhole(true);
          done.push('faults at the end');
        }
        try {
          await endOf(child, done.join(', '));
        } finally {
          await child.kill();
          await proxy.stop();
        }
      }
    };
    const producer = world().client.queue(queue);
    let sending = true;
    let sent = 0;
    const load = (async () => {
      for (; sending; sent += 10) await producer.sendMany(numbers(10, sent).map((n) => ({ data: { n, ms: 2 } }))).then(() => sleep(10));
    })();
    await Promise.all(Array.from({ length: AT_ONCE }, play)).finally(() => { sending = false; });
    await load;
    const last: number[] = [];
    await consume(world(), queue, (data) => void last.push((data as { n: number }).n), { maxCrashes: 0, retry: failing });
    await drained(world(), queue, { shards: 2, timeoutMs: 15_000 });
    const handled = new Set([...log.lines('end').map(({ n }) => n), ...last]);
    expect(numbers(sent).filter((n) => !handled.has(n))).toEqual([]);
  }, 60_000 + CHILDREN * 2_000);

  it('keeps no descriptor and no timer, however often it comes and goes', async () => {
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const queue = await world().queue();
    const round = async (): Promise<void> => {
      const handled: unknown[] = [];
      const a = await consume(world(), queue, (data) => {
        if (data === 'bad' && handled.push(data) === 1) throw new Error('once');
        handled.push(data);
      }, { retry: { initialMs: 1 } });
      await a.client.queue(queue).sendMany([{ data: 1 }, { data: 'bad' }, { data: 2, delayMs: 5 }]);
      await drained(world(), queue);
      await a.client.queue(queue).send('left', { delayMs: 60_000 });
      await a.stop();
      await world().everywhere('FLUSHDB');
      await world().client.register({ name: queue });
    };
    await round();
    const before = [descriptors(), timers()] as const;
    for (let i = 0; i < 6; i++) await round();
    await waitUntil(() => descriptors() <= before[0] + 1 && timers() <= before[1] + 1, { what: `no more than ${before.join(' descriptors and ')} timers`, timeoutMs: 3_000 });
  });
});
