/**
 * The ledger is a Redis stream into which every process writes what it did, so that the account survives any of
 * them. One grant of a stream to a consumer is one *run*, told apart by its fencing token.
 *
 * `finishing` is written before `done()` is called and `accepted` or `refused` after it answered, so a process
 * killed in between leaves a run that is known to be undecided, and the judge looks at the rest of the evidence.
 */
export type Mark =
  | { readonly mark: 'announced'; readonly entry: string; readonly stream: string }
  | (RunMark & { readonly mark: 'assigned'; readonly at: number; readonly recovered: boolean; readonly from: string })
  | (RunMark & { readonly mark: 'finishing' | 'refused' | 'released' })
  | (RunMark & { readonly mark: 'accepted'; readonly ms: number })
  | (RunMark & { readonly mark: 'disowned'; readonly reason: string });

interface RunMark {
  /** Id of the announcement. */
  readonly entry: string;
  readonly stream: string;
  readonly token: number;
  /** Session id `name:incarnation`. */
  readonly owner: string;
}

export function ledgerKey(service: string): string {
  return `demo:${service}:ledger`;
}

/** Without a supervisor that reads it away, the ledger must not grow for ever. */
export const LEDGER_LIMIT = 100_000;
export const LEDGER_FIELD = 'mark';

/** `c1:9f0a...` -> `c1` */
export function consumerOf(session: string): string {
  return session.split(':')[0] ?? session;
}
