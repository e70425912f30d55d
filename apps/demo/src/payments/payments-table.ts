import { byName, renderGrid, sumOf } from '../ui/grid.js';
import type { Booking } from './journal.js';
import type { PaymentStage } from './payment-stage.js';

const HEAD = ['worker', 'state', 'partitions', 'booked', 'last 10 s', 'again', 'refused'];
const TEXTS = 3;
const RECENT_MS = 10_000;

/** Who owns what and has done how much, as the bank saw it, and how far behind the group is, as the API says. */
export async function renderPayments(stage: PaymentStage): Promise<string> {
  const { journal } = stage;
  const view = await stage.partitions();
  const since = Date.now() - RECENT_MS;
  const rows = [...stage.fates()].map(([name, state]) => {
    const mine = journal.bookings.filter(({ worker }) => worker === name);
    const number = (counts: (booking: Booking) => boolean): string => String(mine.filter(counts).length);
    return [
      name, state, stage.owned(name).join(' '), number(({ answer }) => answer === 'booked'), number(({ answer, at }) => answer === 'booked' && at >= since),
      number(({ answer }) => answer === 'repeated'), number(({ answer }) => answer === 'stale'),
    ];
  }).toSorted(([a = ''], [b = '']) => byName(a, b));
  const lag = view?.lag.map((partition) => `${partition.partition}:${partition.lag}`).join(' ');
  return renderGrid({
    head: HEAD, texts: TEXTS, rows,
    total: ['all', '', '', sumOf(rows, 3), sumOf(rows, 4), sumOf(rows, 5), sumOf(rows, 6)],
    foot: view ? `${view.assignment.settled ? 'settled' : 'rebalancing'}, not committed per partition: ${lag}` : 'the API does not answer',
  });
}
