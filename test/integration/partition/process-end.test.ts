import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { type Child, Log, spawnChild } from './fixtures/child.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

const ENDS_WITHIN_MS = 2_000;
/** CHILDREN=400 looks longer. */
const CHILDREN = Number(process.env['CHILDREN'] ?? 24);
const AT_ONCE = 6;

/** Waits until its engine has stopped; from then on nothing may keep the process. @returns how long it took, in ms */
async function endOf(child: Child, what: string): Promise<number> {
  await child.waitFor(({ type }) => type === 'stopped' || type === 'failed', 20_000, `its stop (${what})`);
  const stoppedAt = performance.now();
  const ended = await Promise.race([child.exited, sleep(ENDS_WITHIN_MS, undefined)]);
  if (!ended) throw new Error(`${what}: still there ${ENDS_WITHIN_MS} ms after its engine's stop\n${child.output()}\n${child.messages.slice(-20).map((message) => JSON.stringify(message)).join('\n')}`);
  expect(ended, `${what}\n${child.output()}`).toEqual({ code: 0, signal: null });
  return performance.now() - stoppedAt;
}

// Its connections are one server's: what is cut, and when, is for these tests to say.
onTopologies(['standalone'], 'a process whose engine has stopped ends by itself', (world) => {
  it('also when partitions are granted by an answer that was on its way when the stop began: they are declined', async () => {
    const server = await world().serverOf('');
    const proxy = await startProxy(server.port);
    world().onEnd(() => proxy.stop());
    proxy.setFaults({ latencyMs: 150 });
    const stream = await world().stream(16);
    const child = spawnChild(world(), new Log(world()), { stream, options: { connection: { url: proxy.url }, session: { ttlMs: 30_000 }, commandTimeoutMs: 10_000 } });
    const { owners } = keysOf(stream);
    const owned = async (): Promise<string[]> => ((await world().cli(['HVALS', owners])) as string[]).filter((owner) => !owner.startsWith('- '));
    await waitUntil(async () => (await owned()).length === 16, { what: 'all are granted, which the answer has yet to tell', timeoutMs: 20_000, intervalMs: 5 });
    child.send('stop');
    await endOf(child, 'granted late');
    expect(child.messages.filter(({ type }) => type === 'partition.assigned')).toEqual([]);
    expect(await owned()).toEqual([]);
  });

  it('at any moment, while its connections break or are silent, and while it is stopped by signals', async () => {
    const rng = createRng(seedFromEnv('process-end'));
    const server = await world().serverOf('');
    const stream = await world().stream(16);
    const log = new Log(world());
    let left = CHILDREN;
    let slowest = 0;
    const play = async (): Promise<void> => {
      while (left-- > 0) {
        const draw = rng.fork();
        const proxy = await startProxy(server.port, { seed: draw.seed });
        if (draw.chance(0.7)) proxy.setFaults({ latencyMs: [0, draw.int(0, 20)], ...(draw.chance(0.5) ? { lifetimeMs: [20, 800], halfOpenChance: 0.1 } : {}) });
        const ttlMs = draw.pick([300, 600, 1_000]);
        const child = spawnChild(world(), log, { stream, tuning: { prefetch: 32 }, options: { connection: { url: proxy.url }, session: { ttlMs }, commandTimeoutMs: 500 } });
        const done: string[] = [`seed ${draw.seed}`, `ttl ${ttlMs}`];
        const step = async (name: string, ms: number): Promise<void> => {
          done.push(`${name} ${ms} ms`);
          await sleep(ms);
        };
        await child.waitFor(({ type }) => type === 'connection.ready', 15_000, 'its first connection');
        await step('ran', draw.int(0, 600));
        for (let faults = draw.int(0, 3); faults > 0; faults--) {
          if (draw.chance(0.5)) {
            child.stopProcess();
            await step('SIGSTOP', draw.int(50, 2 * ttlMs));
            child.continue();
          } else {
            done.push('cut');
            proxy.cutAll();
          }
          await step('ran', draw.int(0, draw.chance(0.5) ? 30 : 400));
        }
        child.send('stop');
        if (draw.chance(0.3)) {
          await step('stopping', draw.int(0, 30));
          proxy.cutAll();
        }
        try {
          slowest = Math.max(slowest, await endOf(child, done.join(', ')));
        } finally {
          await child.kill();
          await proxy.stop();
        }
      }
    };
    let sending = true;
    let n = 0;
    const load = (async () => {
      for (; sending; n += 16) await world().client.sendMany(stream, Array.from({ length: 16 }, (_, i) => ({ partition: i, data: { n: n + i, ms: 2 } }))).then(() => sleep(20));
    })();
    await Promise.all(Array.from({ length: AT_ONCE }, play)).finally(() => { sending = false; });
    await load;
    if (CHILDREN > 100) process.stderr.write(`the slowest ended ${Math.round(slowest)} ms after its engine's stop\n`);
  }, 60_000 + CHILDREN * 2_000);
});
