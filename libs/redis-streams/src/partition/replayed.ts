import type { WindowEntry } from '../kernel/partition-window.js';
import type { RawMessage } from './delivery.js';

type Entry = WindowEntry<RawMessage>;

/** Those that are for this group; `passOver` is told of the others: dead letters that were replayed for the group that had given them up. */
export function ownOf(entries: readonly Entry[], group: string, passOver: (entry: Entry) => void): readonly Entry[] {
  const own = entries.filter(({ value }) => isFor(value, group));
  for (const entry of entries) if (!own.includes(entry)) passOver(entry);
  return own;
}

/** Whether any of them says for whom it is. Hardly ever one does. */
export function saysMore(entries: readonly Entry[]): boolean {
  for (let i = 0; i < entries.length; i++) if (entries[i]!.value.other !== undefined) return true;
  return false;
}

function isFor({ other }: RawMessage, group: string): boolean {
  const at = (other ?? []).findIndex((name, i) => i % 2 === 0 && name === 'toGroup');
  return at < 0 || other?.[at + 1] === group;
}
