import type { Accounts } from '../ledger/accounts.js';
import { consumerOf } from '../ledger/marks.js';
import type { Fault } from './stage.js';

export interface Takeover {
  readonly stream: string;
  readonly from: string;
  readonly to: string;
  /** From the SIGKILL or SIGSTOP to the handler running elsewhere; undefined when we did not cause that death. */
  readonly msAfterDeath: number | undefined;
}

export function takeovers(accounts: Accounts, faults: readonly Fault[]): Takeover[] {
  const found: Takeover[] = [];
  for (const { account, run } of accounts.runs()) {
    // Without a predecessor nothing was taken over: the stream had been delivered to the dead, but never begun.
    if (!run.recovered || run.from === '') continue;
    const from = consumerOf(run.from);
    const death = faults.findLast((fault) => fault.consumer === from && fault.at <= run.startedAt);
    found.push({ stream: account.stream, from, to: consumerOf(run.owner), msAfterDeath: death && run.startedAt - death.at });
  }
  return found;
}
