import { byName, renderGrid, sumOf } from '../ui/grid.js';
import type { RoomStage } from './room-stage.js';

const HEAD = ['client', 'room', 'instance', 'state', 'seen', 'acked', 'last tick', 'urgent', 'reconnects'];
const TEXTS = 4;

/** Who is where, and how far, as the clients recorded it. */
export function renderRooms({ clients, journal, ...stage }: Pick<RoomStage, 'clients' | 'journal'> & { readonly fates: ReadonlyMap<string, string> }): string {
  const rows = clients.map(({ name, room, instance, isIn, manner, reconnects }) => {
    const stays = journal.stays.filter(({ client }) => client === name);
    const seen = stays.flatMap((stay) => stay.seen);
    return [
      name, room, instance, isIn ? manner : 'out', String(seen.length), String(stays.reduce((sum, { acked }) => sum + acked.size, 0)),
      String(seen.at(-1)?.tick ?? 0), String(journal.urgent.filter(({ client }) => client === name).length), String(Math.max(0, reconnects)),
    ];
  }).toSorted(([a = ''], [b = '']) => byName(a, b));
  return renderGrid({
    head: HEAD, texts: TEXTS, rows,
    total: ['all', '', '', '', sumOf(rows, 4), sumOf(rows, 5), '', sumOf(rows, 7), sumOf(rows, 8)],
    foot: `instances: ${[...stage.fates].map(([name, state]) => `${name} ${state}`).join(', ')}`,
  });
}
