/** Nearest rank: always a value that was really measured. `p` in (0, 100]. */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) throw new Error('No values to take a percentile of');
  if (!(p > 0 && p <= 100)) throw new Error(`A percentile is in (0, 100], got ${p}`);
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil((p / 100) * sorted.length) - 1] as number;
}

export interface Summary { count: number; min: number; median: number; p95: number; p99: number; max: number; mean: number }

export function summarize(values: readonly number[]): Summary {
  return {
    count: values.length,
    min: percentile(values, Number.MIN_VALUE),
    median: percentile(values, 50),
    p95: percentile(values, 95),
    p99: percentile(values, 99),
    max: percentile(values, 100),
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  };
}
