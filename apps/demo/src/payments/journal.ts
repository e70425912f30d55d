import type { Book } from '../ledger/ledger-reader.js';
import type { Answer, Attempt, BankMark } from './marks.js';
import { PARTITIONS } from './payment.js';

export interface Sent {
  readonly partition: number;
  /** Its entry in the stream. */
  readonly id: string;
  readonly account: string;
  readonly number: number;
  readonly cents: number;
  readonly at: number;
}

export interface Booking extends Attempt {
  readonly answer: Answer;
  readonly at: number;
}

/** A partition in one worker's hands. */
export interface Grant {
  readonly partition: number;
  readonly worker: string;
  readonly token: number;
  readonly at: number;
  /** How it ended, as its worker said. A killed one says nothing. */
  ended: 'revoked' | 'lost' | undefined;
}

/** What the bank's journal says, in the order in which the bank got it. */
export class Journal implements Book<BankMark> {
  /** By {@link paymentKey}. */
  readonly sent = new Map<string, Sent>();
  readonly bookings: Booking[] = [];
  /** Per partition, by rising token. */
  readonly grants: Grant[][] = Array.from({ length: PARTITIONS }, () => []);

  apply(mark: BankMark, at: number): void {
    switch (mark.mark) {
      case 'sent':
        this.sent.set(paymentKey(mark), mark);
        return;
      case 'attempt':
        this.bookings.push({ ...mark, at });
        return;
      case 'assigned':
        for (const { partition, fencingToken } of mark.partitions) this.grant({ partition, worker: mark.worker, token: fencingToken, at, ended: undefined });
        return;
      case 'revoked':
      case 'lost':
        for (const { partition, fencingToken } of mark.partitions) {
          const grant = this.grants[partition]?.find(({ token }) => token === fencingToken);
          if (grant) grant.ended = mark.mark;
        }
    }
  }

  /** Who has a partition, as far as the workers say; undefined after a hand-over that nobody has taken yet. */
  holder(partition: number): Grant | undefined {
    const last = this.grants[partition]?.at(-1);
    return last?.ended === undefined ? last : undefined;
  }

  /** A paused worker may say late what it was granted. */
  private grant(grant: Grant): void {
    const grants = this.grants[grant.partition];
    grants?.push(grant);
    grants?.sort((a, b) => a.token - b.token);
  }
}

export function paymentKey({ account, number }: { readonly account: string; readonly number: number }): string {
  return `${account}#${number}`;
}
