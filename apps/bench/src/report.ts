import { format, type BenchResult, type Spread, type Verdict } from './run.js';

/** Medians with their spread, one block a bench. */
export function table({ bench, rounds, spread, server, contenders, ratios }: BenchResult): string {
  const names = [...new Set(contenders.flatMap(({ metrics }) => [...metrics.keys()]))];
  const rows = [
    ['', ...names],
    ...contenders.map(({ name, metrics }) => [name, ...names.map((metric) => cell(metrics.get(metric)))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => `  ${row.map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!))).join('  ')}`);
  return [
    `\n${bench.name}: ${bench.about}`,
    `  medians of ${rounds} round${rounds === 1 ? '' : 's'} (${spread}), ${server}, Node ${process.versions.node}`,
    ...lines,
    ...ratios.map((ratio) => `  ${verdict(ratio)}`),
  ].join('\n');
}

/** `contenders`, `ratios` and `goals` for dashboards; `details` for who wants the spread and the direction of a goal. */
export function json(results: readonly BenchResult[], options: { name: string; short: boolean }): string {
  const ratios = results.flatMap((result) => result.ratios);
  return JSON.stringify(
    {
      bench: options.name,
      form: options.short ? 'short' : 'full',
      node: process.versions.node,
      server: results[0]?.server,
      contenders: results.flatMap(({ bench, contenders }) =>
        contenders.map(({ name, metrics }) => ({
          name: `${bench.name}: ${name}`,
          metrics: Object.fromEntries([...metrics].map(([metric, { median }]) => [metric, median])),
        })),
      ),
      ratios: Object.fromEntries(ratios.map(({ name, median }) => [name, median])),
      goals: Object.fromEntries(ratios.flatMap(({ name, atLeast, atMost }) => (atLeast ?? atMost) === undefined ? [] : [[name, atLeast ?? atMost]])),
      details: {
        ratios,
        contenders: results.flatMap(({ bench, rounds, spread, contenders }) => contenders.map(({ name, metrics }) => ({ name: `${bench.name}: ${name}`, rounds, spread, metrics: Object.fromEntries(metrics) }))),
      },
    },
    null,
    2,
  );
}

export function verdict({ name, median, low, high, atLeast, atMost, missedBy }: Verdict): string {
  const value = `${name}: ${format(median)} (${format(low)}..${format(high)})`;
  if (missedBy === undefined) return `      ${value}`;
  return `${missedBy <= 1 ? 'ok  ' : 'MISS'}  ${value}, goal ${atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`}`;
}

function cell(row: Spread | undefined): string {
  if (!row) return '';
  return row.low === row.high ? format(row.median) : `${format(row.median)} (${format(row.low)}..${format(row.high)})`;
}
