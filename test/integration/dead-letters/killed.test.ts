import { expect, it } from 'vitest';
import { spawnNode, type TestProcess } from '../../support/processes.js';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { waitUntil } from '../../support/wait.js';
import { QUICK } from '../support/world.js';
import { keysOf, storedIn } from '../queue/support/keys.js';
import type { ReplayerJob } from './fixtures/replayer.js';
import { BOTH, lettersOf, onTopologies, type World } from './support/world.js';

const LETTERS = 2_000;
const SHARDS = 4;
const KILLS = 6;

interface Done { readonly replayed: number; readonly skipped: number }

function startReplay(world: World, job: Omit<ReplayerJob, 'options'>): TestProcess<Done> {
  const whole: ReplayerJob = { ...job, options: { ...QUICK, connection: world.connection } };
  const child = spawnNode<Done>(new URL('./fixtures/replayer.ts', import.meta.url), { args: [JSON.stringify(whole)] });
  world.onEnd(() => child.kill());
  return child;
}

/** Numbers of the messages that are still among the letters, sorted. */
async function lettersIn(world: World, queue: string): Promise<number[]> {
  const rows = await Promise.all(Array.from({ length: SHARDS }, (_, shard) => world.cli(['XRANGE', keysOf(queue, { shards: SHARDS, shard }).dead, '-', '+']) as Promise<[string, string[]][]>));
  return numbers(rows.flat().map(([, fields]) => fields[fields.indexOf('entry.data') + 1]!));
}

/** Numbers of the messages that are in the queue, sorted. */
async function messagesIn(world: World, queue: string): Promise<number[]> {
  return numbers((await storedIn(world, queue, SHARDS)).map(({ fields }) => fields['data']!));
}

function numbers(data: readonly string[]): number[] {
  return data.map((text) => (JSON.parse(text) as { n: number }).n).toSorted((a, b) => a - b);
}

onTopologies(BOTH, 'a process that replays', (world) => {
  it('is killed at any moment, again and again: each letter is here or there, never in both places or in none', async () => {
    const rng = createRng(seedFromEnv('dead letters, killed'));
    const all = Array.from({ length: LETTERS }, (_, n) => n);
    const sender = world().node();
    const queue = world().fresh('mails');
    const source = { kind: 'queue', queue } as const;
    await sender.engine.queues().register({ name: queue, shards: SHARDS });
    const broken = world().node();
    broken.engine.addQueueConsumer({ queue, retry: { maxAttempts: 1 } }, { message: () => { throw new Error('no'); } });
    await broken.engine.start();
    await sender.engine.queues().queue(queue).sendMany(all.map((n) => ({ data: { n }, key: `k${n % 50}`, headers: { n: String(n) } })));
    await lettersOf(sender, source, LETTERS);
    await broken.engine.stop();
    expect(await messagesIn(world(), queue)).toEqual([]);

    let interrupted = 0;
    let left = LETTERS;
    for (let kill = 0; kill < KILLS && left > 1; kill++) {
      const child = startReplay(world(), { source, ...(rng.chance(0.3) && { perSecond: 4_000 }) });
      // Never the last of them: so that there is something to interrupt.
      const enough = left - rng.int(0, Math.floor((left - 1) / (KILLS - kill)));
      await waitUntil(async () => enough === left ? child.pid > 0 : (await sender.letters.count(source)) <= enough, { what: 'some are replayed', intervalMs: 1 });
      await child.kill();
      expect(child.messages.length).toBeLessThanOrEqual(1);
      const [letters, messages] = [await lettersIn(world(), queue), await messagesIn(world(), queue)];
      expect([...letters, ...messages].toSorted((a, b) => a - b)).toEqual(all);
      if (letters.length > 0 && letters.length < left) interrupted++;
      left = letters.length;
    }
    // Else nothing of this was tried.
    expect(interrupted).toBeGreaterThan(1);

    const last = startReplay(world(), { source });
    expect(await last.waitFor(() => true, 20_000, 'the end of the replay')).toEqual({ replayed: left, skipped: 0 });
    await last.exited;
    expect([await lettersIn(world(), queue), await messagesIn(world(), queue)]).toEqual([[], all]);

    const handled: Array<{ n: number; key: string | undefined; header: string | undefined }> = [];
    const mended = world().node();
    mended.engine.addQueueConsumer({ queue }, { message: (data, { key, headers }) => void handled.push({ n: (data as { n: number }).n, key, header: headers['n'] }) });
    await mended.engine.start();
    await waitUntil(async () => (await sender.engine.queues().stats(queue)).messages === 0, { what: 'all are handled', timeoutMs: 20_000 });
    expect(handled.toSorted((a, b) => a.n - b.n)).toEqual(all.map((n) => ({ n, key: `k${n % 50}`, header: String(n) })));
  });
});
