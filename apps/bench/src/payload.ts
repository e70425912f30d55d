/** What the demo announces: about 160 bytes of JSON. */
export function order(i: number): Record<string, unknown> {
  return {
    order_id: `order-${i}`,
    customer_id: `customer-${i % 1_000}`,
    amount: (i % 10_000) / 100,
    priority: (['low', 'normal', 'high'] as const)[i % 3],
    status: 'pending',
    created_at: '2025-01-01T00:00:00.000Z',
  };
}

/** The `lbs-input` field as any producer writes it. */
export function announcement(stream: string, i: number): string {
  return JSON.stringify({ DataStreamName: stream, Info: order(i) });
}

export function streamName(i: number): string {
  return `order-stream-${i}`;
}

/** 161 bytes of JSON, whatever the number. */
export interface Payment {
  readonly id: string;
  /** Number of the account, which is the key. */
  readonly account: number;
  /** Rises by one from message to message. */
  readonly n: number;
  readonly amount: string;
  readonly currency: string;
  readonly status: string;
  readonly customer: string;
  readonly note: string;
}

export const ACCOUNTS = 1_000;
const FIRST_ACCOUNT = 1_000;
export const FIRST_NUMBER = 10_000_000;

/** All accounts pay in turn. */
export function payment(i: number): Payment {
  const n = FIRST_NUMBER + i;
  const account = FIRST_ACCOUNT + (i % ACCOUNTS);
  return { id: `payment-${n}`, account, n, amount: '129.95', currency: 'EUR', status: 'pending', customer: `customer-${account}`, note: 'order of November' };
}

export function accountKey({ account }: Payment): string {
  return `account-${account}`;
}

const NOTE_LENGTH = 17;

/** The same 161 bytes, with the moment of sending as the note. */
export function stamped(i: number, now: number): Payment {
  return { ...payment(i), note: now.toFixed(6).slice(0, NOTE_LENGTH).padEnd(NOTE_LENGTH) };
}

export function sentAt({ note }: Payment): number {
  return Number(note);
}
