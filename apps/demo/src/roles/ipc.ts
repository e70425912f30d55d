/** Supervisor -> role. Roles started by hand get none of these. */
export type Order = { readonly type: 'stop' } | { readonly type: 'produce'; readonly count: number } | { readonly type: 'rate'; readonly perSecond: number };

/** Role -> supervisor, once it works. What roles *do* is in the ledger, which outlives them. */
export interface Ready {
  readonly type: 'ready';
  /** The API's address. */
  readonly url?: string;
}
