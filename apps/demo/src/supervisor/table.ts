import type { LeaseStats } from 'nestjs-redis-streams';
import { consumerOf } from '../ledger/marks.js';
import { byName, renderGrid, sumOf } from '../ui/grid.js';
import { seconds } from '../ui/lines.js';
import type { Figures } from './figures.js';

const HEAD = ['consumer', 'state', 'held now', 'processed', 'last 10 s', 'mean', 'p95'];
const LEFT = 2;

export interface TableInput {
  /** Consumers we started, with what we know of their processes. */
  readonly states: ReadonlyMap<string, string>;
  readonly figures: ReadonlyMap<string, Figures>;
  /** Undefined: the server does not answer at present. */
  readonly stats: LeaseStats | undefined;
}

export function heldByConsumer(stats: LeaseStats | undefined): Map<string, number> {
  const held = new Map<string, number>();
  for (const member of stats?.members ?? []) held.set(consumerOf(member.session), (held.get(consumerOf(member.session)) ?? 0) + member.held);
  return held;
}

export function renderTable({ states, figures, stats }: TableInput): string {
  const held = heldByConsumer(stats);
  const names = [...new Set([...states.keys(), ...figures.keys(), ...held.keys()])].toSorted(byName);
  const rows = names.map((name) => {
    const { completed = 0, recently = 0, meanMs = 0, p95Ms = 0 } = figures.get(name) ?? {};
    return [name, states.get(name) ?? (held.has(name) ? 'joined' : 'left'), String(held.get(name) ?? 0), String(completed), String(recently), meanMs ? seconds(meanMs) : '-', p95Ms ? seconds(p95Ms) : '-'];
  });
  return renderGrid({
    head: HEAD, texts: LEFT, rows,
    total: ['all', '', sumOf(rows, 2), sumOf(rows, 3), sumOf(rows, 4), '', ''],
    foot: stats ? `waiting for a consumer: ${stats.undelivered + stats.free}, of dead consumers: ${stats.expired}, dead letters: ${stats.deadLetters}` : 'the API does not answer',
  });
}
