import { type Booking, type Journal, paymentKey } from './journal.js';
import { type Move, movesBetween } from './moves.js';

/** The figures that a run ends with. */
export interface Figures {
  readonly sent: number;
  /** Payments booked. */
  readonly processed: number;
  /** Sent, committed, and not booked. */
  readonly lost: number;
  /** Attempts with a valid token to book a payment before one that its account made earlier. */
  readonly inversions: number;
  /**
   * Payments booked twice; and those that were tried again with a valid token although no worker had died over them. The
   * bank's numbers stop the second kind as well, but a store that only checks tokens would not.
   */
  readonly duplicatedEffects: number;
  /** Changes of owner, from everybody being up to the end of the drain. */
  readonly moved: number;
  /** Longest time in which a partition that moved had payments and nobody handled them. */
  readonly longestPauseMs: number;
}

export interface Judgement {
  readonly figures: Figures;
  /** Sent, not booked, and not committed either: somebody would still get them. */
  readonly open: number;
  /** Payments tried again after their worker had died or been frozen: known to be unavoidable. */
  readonly reruns: number;
  /** Attempts the bank refused because somebody else owned the partition. */
  readonly stale: number;
  /** Partitions that were left behind by a dead or frozen worker. */
  readonly leftBehind: number;
  readonly moves: readonly Move[];
  readonly problems: readonly string[];
}

export interface Facts {
  readonly from: number;
  readonly until: number;
  /** Per partition, the id up to which all is committed. */
  readonly positions: ReadonlyMap<number, string>;
  readonly balances: ReadonlyMap<string, number>;
}

/** Goes through the journal again, and takes nothing from the bank's answers that the journal does not bear out. */
export function judge(journal: Journal, { from, until, positions, balances }: Facts): Judgement {
  const problems: string[] = [];
  const booked = new Map<string, number>(), sums = new Map<string, number>(), attempts = new Map<string, Booking>();
  let processed = 0, inversions = 0, duplicatedEffects = 0, reruns = 0;
  for (const booking of journal.bookings) {
    if (booking.answer === 'stale') continue;
    const { account, number, cents, worker, answer } = booking;
    const key = paymentKey(booking), due = (booked.get(account) ?? 0) + 1, earlier = attempts.get(key);
    attempts.set(key, booking);
    if (answer === 'booked') sums.set(account, (sums.get(account) ?? 0) + cents);
    if (number === due && answer === 'booked') {
      processed++;
      booked.set(account, number);
    } else if (number > due) {
      inversions++;
      problems.push(`${worker} got ${key} before ${account}#${due}`);
    } else if (answer === 'repeated' && earlier && diedOver(journal, earlier)) reruns++;
    else {
      duplicatedEffects++;
      problems.push(`${worker} got ${key} again (${answer}), though ${earlier?.worker} had handled it and nobody had died`);
    }
  }
  for (const [account, balance] of balances) {
    if (sums.get(account) === balance) continue;
    duplicatedEffects++;
    problems.push(`the balance of ${account} is ${balance} and its payments come to ${sums.get(account)}`);
  }
  let lost = 0, open = 0;
  for (const [key, { account, number, partition, id }] of journal.sent) {
    if (number <= (booked.get(account) ?? 0)) continue;
    if (isAfter(id, positions.get(partition) ?? '0-0')) open++;
    else {
      lost++;
      problems.push(`${key} was committed in partition ${partition} and not booked`);
    }
  }
  const moves = movesBetween(journal, from, until);
  return {
    figures: {
      sent: journal.sent.size, processed, lost, inversions, duplicatedEffects, moved: moves.length,
      longestPauseMs: longest(moves),
    },
    open, reruns,
    stale: journal.bookings.filter(({ answer }) => answer === 'stale').length,
    leftBehind: moves.filter(({ clean }) => !clean).length,
    moves, problems,
  };
}

export function longest(moves: readonly Move[]): number {
  return Math.round(moves.reduce((most, { pauseMs }) => Math.max(most, pauseMs), 0));
}

/** Whether the owner of that attempt never handed the partition over, so that what it had not committed runs again. */
function diedOver(journal: Journal, { partition, token }: Booking): boolean {
  const grant = journal.grants[partition]?.find((candidate) => candidate.token === token);
  const taken = journal.grants[partition]?.some((candidate) => candidate.token > token) ?? false;
  return grant?.ended !== 'revoked' && taken;
}

function isAfter(id: string, other: string): boolean {
  const [ms = 0, n = 0] = id.split('-').map(Number), [otherMs = 0, otherN = 0] = other.split('-').map(Number);
  return ms > otherMs || (ms === otherMs && n > otherN);
}
