import { bold, dim, nameColor } from './colors.js';

export interface Grid {
  readonly head: readonly string[];
  /** So many columns at the left are text; the others are figures. */
  readonly texts: number;
  /** The first cell is the name of a process, and its colour. */
  readonly rows: ReadonlyArray<readonly string[]>;
  readonly total: readonly string[];
  readonly foot: string;
}

export function renderGrid({ head, texts, rows, total, foot }: Grid): string {
  const widths = head.map((title, i) => Math.max(title.length, ...[...rows, total].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string => row.map((cell, i) => (i < texts ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   ');
  const rule = dim('-'.repeat(widths.reduce((a, b) => a + b + 3, -3)));
  return ['', bold(line(head)), rule, ...rows.map((row) => nameColor(row[0] ?? '')(line(row))), rule, line(total), dim(foot), ''].map((text) => `  ${text}`.trimEnd()).join('\n');
}

export function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

export function sumOf(rows: ReadonlyArray<readonly string[]>, column: number): string {
  return String(rows.reduce((total, row) => total + Number(row[column]), 0));
}
