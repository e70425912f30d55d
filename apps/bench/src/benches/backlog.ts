import { RedisStreamsEngine } from '../engine.js';
import type { Contender, Stage } from '../model.js';
import { announcement, order, streamName } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { readCounters } from '../support/server-counters.js';
import type { Message, Worker } from '../support/worker.js';

export interface BacklogOptions {
  readonly name: string;
  readonly role: string;
  readonly workers: number;
  readonly streams: number;
  /** `announce`: through the library; `xadd`: the same payload by plain XADD, with a group made beforehand. */
  readonly produce: 'announce' | 'xadd';
}

/** A finished backlog, worked off by consumer processes: announced first, then measured from the start signal on. */
export function backlogContender(options: BacklogOptions): Contender {
  return {
    name: options.name,
    round: async (stage) => {
      const warmUp = Math.ceil(options.streams / 4);
      await produce(stage, options.produce, 'warm', warmUp);
      await produce(stage, options.produce, 'work', options.streams);
      const workers = await Promise.all(Array.from({ length: options.workers }, () => stage.spawn(options.role)));
      await consume(workers, 'warm', warmUp);
      const stopped = workers.map((worker) => worker.next('stopped'));
      for (const worker of workers) worker.send({ type: 'stop' });
      await Promise.all(stopped);

      const before = await readCounters(stage.admin);
      const { ms, cpuUs, counts } = await consume(workers, 'work', options.streams);
      const serverMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
      const left = await stage.admin.xlen('work-input');
      if (left > 0) throw new Error(`${options.name}: ${left} streams are left`);
      return {
        streamsPerSecond: (options.streams / ms) * 1_000,
        clientCpuUsPerStream: cpuUs / options.streams,
        serverCpuUsPerStream: (serverMs * 1_000) / options.streams,
        leastShareOfOne: (Math.min(...counts) / options.streams) * options.workers,
      };
    },
  };
}

async function produce({ redis, admin }: Stage, how: 'announce' | 'xadd', service: string, count: number): Promise<void> {
  const items = Array.from({ length: count }, (_, i) => i);
  if (how === 'announce') {
    const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
    await engine.leases().announceMany(service, items.map((i) => ({ stream: streamName(i), info: order(i) })));
    return engine.stop();
  }
  await admin.xgroup('CREATE', `${service}-input`, `${service}-group`, '0', 'MKSTREAM');
  for (let from = 0; from < count; from += 1_000) {
    const pipeline = admin.pipeline();
    for (const i of items.slice(from, from + 1_000)) pipeline.xadd(`${service}-input`, '*', 'lbs-input', announcement(streamName(i), i));
    await pipeline.exec();
  }
}

/** @returns when the workers together have finished `count` streams; the time is that of the last one's end. */
function consume(workers: readonly Worker[], service: string, count: number): Promise<{ ms: number; cpuUs: number; counts: number[] }> {
  return new Promise((resolve, reject) => {
    const latest = new Map<Worker, Message>();
    const start = sharedNow();
    const timer = setTimeout(() => reject(new Error(`${service}: only ${[...latest.values()].map((m) => m['count']).join(' + ')} of ${count} done in 60 s`)), 60_000);
    const sum = (key: string): number => [...latest.values()].reduce((total, message) => total + Number(message[key]), 0);
    for (const worker of workers) {
      worker.on('progress', (message) => {
        latest.set(worker, message);
        if (sum('count') < count) return;
        clearTimeout(timer);
        resolve({
          ms: Math.max(...[...latest.values()].map((m) => Number(m['lastAt']))) - start,
          cpuUs: sum('cpuUs'),
          counts: workers.map((w) => Number(latest.get(w)?.['count'] ?? 0)),
        });
      });
      worker.send({ type: 'consume', service });
    }
  });
}
