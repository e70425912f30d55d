import type { OwnedPartitionRef } from 'nestjs-redis-streams';

/**
 * What the bank says to a payment:
 * - `booked`: it changed the balance.
 * - `repeated`: it had been booked already; its worker died before it could commit, say.
 * - `early`: one before it has not been booked yet: the order of the account was not kept.
 * - `stale`: the fencing token is older than one seen for the partition: somebody else owns it by now.
 */
export type Answer = 'booked' | 'repeated' | 'early' | 'stale';

/** The bank's journal: every payment sent, every attempt to book one, and every change of a partition's owner. */
export type BankMark =
  | { readonly mark: 'sent'; readonly partition: number; readonly id: string; readonly account: string; readonly number: number; readonly cents: number; readonly at: number }
  | (Attempt & { readonly mark: 'attempt'; readonly answer: Answer })
  | (OwnerMark & { readonly mark: 'assigned' })
  | (OwnerMark & { readonly mark: 'revoked' | 'lost'; readonly reason: string });

export interface Attempt {
  readonly worker: string;
  readonly partition: number;
  readonly token: number;
  readonly account: string;
  readonly number: number;
  readonly cents: number;
  readonly startedAt: number;
}

interface OwnerMark {
  readonly worker: string;
  readonly partitions: readonly OwnedPartitionRef[];
}

/** In the order in which the bank's script wants them. */
export const BANK_KEYS = { fences: 'bank:fences', numbers: 'bank:numbers', balances: 'bank:balances', journal: 'bank:journal' } as const;
