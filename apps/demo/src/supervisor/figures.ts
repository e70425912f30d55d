import { consumerOf } from '../ledger/marks.js';
import type { Accounts } from '../ledger/accounts.js';

export interface Figures {
  readonly completed: number;
  readonly recently: number;
  readonly meanMs: number;
  readonly p95Ms: number;
}

/** What each consumer has completed, from accepted runs. */
export function figuresByConsumer(accounts: Accounts, recentMs: number, now = Date.now()): Map<string, Figures> {
  const times = new Map<string, { all: number[]; recently: number }>();
  for (const { run } of accounts.runs()) {
    const row = times.get(consumerOf(run.owner)) ?? { all: [], recently: 0 };
    times.set(consumerOf(run.owner), row);
    if (run.state !== 'accepted') continue;
    row.all.push(run.ms);
    if (now - run.endedAt <= recentMs) row.recently++;
  }
  return new Map([...times].map(([name, { all, recently }]) => [name, { completed: all.length, recently, ...spread(all) }]));
}

function spread(values: number[]): { meanMs: number; p95Ms: number } {
  if (values.length === 0) return { meanMs: 0, p95Ms: 0 };
  const sorted = values.toSorted((a, b) => a - b);
  const p95 = sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.95) - 1)] ?? 0;
  return { meanMs: Math.round(values.reduce((sum, value) => sum + value, 0) / values.length), p95Ms: Math.round(p95) };
}
