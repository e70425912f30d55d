/** One payment. An account's payments are numbered 1, 2, 3, ... in the order in which they were made. */
export interface Payment {
  readonly account: string;
  readonly number: number;
  readonly cents: number;
}

/** The stream, and the group that books; the namespace is the run's. */
export const PAYMENTS = 'payments';
export const BOOKING = 'booking';
export const PARTITIONS = 12;
export const ACCOUNTS = 60;
/** Payments of a partition that run again at most when their worker dies. */
export const PREFETCH = 16;
/** Accounts of one partition that are booked side by side. */
export const CONCURRENCY = 4;

const LEAST_WORK_MS = 4;
const MORE_WORK_MS = 8;

/** Time a payment takes. */
export function bookingMs(speed: number): number {
  return (LEAST_WORK_MS + Math.random() * MORE_WORK_MS) / speed;
}
