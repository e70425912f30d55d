import type { Bench, Contender, Metrics, StandingContender } from './model.js';
import { openStage, type OpenStage } from './stage.js';
import { startRedis, type PrivateRedis } from './support/redis.js';
import { median, percentile } from './support/stats.js';

/** From so many rounds on the spread is that of the middle half: the extremes of many bursts say nothing. */
const MANY = 12;

export interface Spread { readonly median: number; readonly low: number; readonly high: number }

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
  /** What `low` and `high` are. */
  readonly spread: 'min..max' | 'quartiles';
  readonly server: string;
  readonly contenders: ReadonlyArray<{ readonly name: string; readonly metrics: ReadonlyMap<string, Spread> }>;
  readonly ratios: readonly Verdict[];
}

interface Runner {
  readonly name: string;
  measure(): Promise<Metrics>;
}

/** Runs all contenders once per round, in turn and in alternating order, against private servers. */
export async function runBench(bench: Bench, options: { rounds?: number; short: boolean; progress(line: string): void }): Promise<BenchResult> {
  const theatre = new Theatre();
  try {
    const runners: Runner[] = [];
    for (const contender of bench.contenders(options.short)) runners.push(await theatre.runner(contender));
    const total = options.rounds ?? (options.short ? Math.max(1, bench.rounds.short) : bench.rounds.full);
    const rounds: Record<string, Metrics>[] = [];
    for (let round = 1; round <= total; round++) {
      const results: Record<string, Metrics> = {};
      // Whoever runs after whom must not decide.
      for (const { name, measure } of round % 2 === 1 ? runners : runners.toReversed()) {
        results[name] = await measure();
        options.progress(`${bench.name} ${round}/${total}  ${name}: ${bench.headline} ${format(results[name][bench.headline]!)}`);
      }
      rounds.push(results);
    }
    return {
      bench,
      rounds: total,
      spread: total < MANY ? 'min..max' : 'quartiles',
      server: theatre.version,
      contenders: runners.map(({ name }) => ({ name, metrics: summarize(rounds.map((round) => round[name]!)) })),
      ratios: bench.ratios.map(({ name, value, atLeast, atMost }) => judge(name, rounds.map((round) => value(round)), atLeast, atMost)),
    };
  } finally {
    await theatre.close();
  }
}

/** One server for those who begin anew in every round, and one for each of the others. */
class Theatre {
  version = '';
  private shared: Promise<PrivateRedis> | undefined;
  private readonly servers: PrivateRedis[] = [];
  private readonly stages: OpenStage[] = [];

  async runner(contender: Contender | StandingContender): Promise<Runner> {
    const { name } = contender;
    if ('stand' in contender) {
      const open = openStage(await this.server());
      this.stages.push(open);
      return { name, measure: await contender.stand(open.stage) };
    }
    const redis = await (this.shared ??= this.server());
    return {
      name,
      measure: async () => {
        const open = openStage(redis);
        try {
          await open.stage.admin.flushall();
          return await contender.round(open.stage);
        } finally {
          await open.end();
        }
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.stages.map((stage) => stage.end()));
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  private async server(): Promise<PrivateRedis> {
    const redis = await startRedis();
    this.servers.push(redis);
    this.version = redis.version;
    return redis;
  }
}

/** Three significant digits below 100, none after the point above. */
export function format(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}

function spread(values: readonly number[]): Spread {
  if (values.length < MANY) return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
  return { median: median(values), low: percentile(values, 25), high: percentile(values, 75) };
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
