import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStreamsEngine } from '../engine.js';
import type { Stage } from '../model.js';
import { order, streamName } from '../payload.js';
import type { Worker } from '../support/worker.js';

/** Announces streams `from` .. `to - 1` and waits until the worker, alone, holds `to` of them. */
export async function holdUpTo({ redis }: Stage, worker: Worker, from: number, to: number): Promise<void> {
  const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
  await engine.leases().announceMany('bench', Array.from({ length: to - from }, (_, i) => ({ stream: streamName(from + i), info: order(from + i) })));
  await engine.stop();
  for (const until = performance.now() + 30_000; ; await sleep(50)) {
    const reply = worker.next('held');
    worker.send({ type: 'held' });
    const { count } = await reply;
    if (count === to) return;
    if (performance.now() > until) throw new Error(`only ${String(count)} of ${to} streams are held after 30 s`);
  }
}
