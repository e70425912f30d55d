import { Redis } from 'ioredis';
import type { Bench, Metrics } from './model.js';
import { startRedis } from './support/redis.js';
import { median } from './support/stats.js';
import { startWorker, type Worker } from './support/worker.js';

export interface Spread { readonly median: number; readonly min: number; readonly max: number }

export interface Verdict extends Spread {
  readonly name: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** How far the goal is missed: 1 or less is met, 2 is half (or twice) of what was asked. */
  readonly missedBy?: number;
}

export interface BenchResult {
  readonly bench: Bench;
  readonly rounds: number;
  readonly server: string;
  readonly contenders: ReadonlyArray<{ readonly name: string; readonly metrics: ReadonlyMap<string, Spread> }>;
  readonly ratios: readonly Verdict[];
}

/** Runs all contenders once per round, in turn and in alternating order, against one private server. */
export async function runBench(bench: Bench, options: { rounds?: number; short: boolean; progress(line: string): void }): Promise<BenchResult> {
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  try {
    const contenders = bench.contenders(options.short);
    const total = options.rounds ?? (options.short ? Math.max(1, bench.rounds.short) : bench.rounds.full);
    const rounds: Record<string, Metrics>[] = [];
    for (let round = 1; round <= total; round++) {
      const results: Record<string, Metrics> = {};
      // Whoever runs after whom must not decide.
      for (const { name, round: measure } of round % 2 === 1 ? contenders : contenders.toReversed()) {
        await admin.flushall();
        const workers: Worker[] = [];
        try {
          const spawn = async (role: string, workerOptions = {}): Promise<Worker> => {
            const worker = await startWorker(role, redis.url, workerOptions);
            workers.push(worker);
            return worker;
          };
          results[name] = await measure({ redis, admin, spawn });
        } finally {
          await Promise.all(workers.map((worker) => worker.kill()));
        }
        options.progress(`${bench.name} ${round}/${total}  ${name}: ${bench.headline} ${format(results[name][bench.headline]!)}`);
      }
      rounds.push(results);
    }
    return {
      bench,
      rounds: total,
      server: redis.version,
      contenders: contenders.map(({ name }) => ({ name, metrics: summarize(rounds.map((round) => round[name]!)) })),
      ratios: bench.ratios.map(({ name, value, atLeast, atMost }) => judge(name, rounds.map((round) => value(round)), atLeast, atMost)),
    };
  } finally {
    admin.disconnect();
    await redis.stop();
  }
}

/** Three significant digits below 100, none after the point above. */
export function format(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

function summarize(rounds: readonly Metrics[]): Map<string, Spread> {
  return new Map(Object.keys(rounds[0] ?? {}).map((name) => [name, spread(rounds.map((metrics) => metrics[name]!))]));
}

function judge(name: string, values: readonly number[], atLeast: number | undefined, atMost: number | undefined): Verdict {
  const row = spread(values);
  if (atLeast !== undefined) return { name, ...row, atLeast, missedBy: atLeast / row.median };
  if (atMost !== undefined) return { name, ...row, atMost, missedBy: row.median / atMost };
  return { name, ...row };
}
