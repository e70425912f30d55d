import { consumerOf, type Mark } from './marks.js';

export interface Run {
  readonly token: number;
  readonly owner: string;
  readonly from: string;
  readonly recovered: boolean;
  readonly startedAt: number;
  /** Told by its consumer that it had lost the stream. */
  disowned: boolean;
  state: 'working' | 'finishing' | 'accepted' | 'refused' | 'released' | 'disowned';
  ms: number;
  endedAt: number;
}

export interface Account {
  readonly entry: string;
  readonly stream: string;
  readonly runs: Map<number, Run>;
}

/** What the ledger says, sorted by announcement and run. Marks may arrive in any order. */
export class Accounts {
  readonly byEntry = new Map<string, Account>();

  apply(mark: Mark): void {
    const account = this.byEntry.get(mark.entry) ?? { entry: mark.entry, stream: mark.stream, runs: new Map<number, Run>() };
    this.byEntry.set(mark.entry, account);
    if (mark.mark === 'announced') return;
    const known = account.runs.get(mark.token);
    const run: Run = known ?? { token: mark.token, owner: mark.owner, from: '', recovered: false, startedAt: 0, disowned: false, state: 'working', ms: 0, endedAt: 0 };
    account.runs.set(mark.token, run);
    switch (mark.mark) {
      case 'assigned':
        account.runs.set(mark.token, { ...run, from: mark.from, recovered: mark.recovered, startedAt: mark.at });
        return;
      case 'accepted':
        run.ms = mark.ms;
        break;
      case 'disowned':
        run.disowned = true;
        // A refused `done()` disowns as well, and that it was refused says more.
        if (run.state === 'refused' || run.state === 'accepted') return;
        break;
      case 'finishing':
      case 'refused':
      case 'released':
        break;
    }
    run.state = mark.mark;
    run.endedAt = Date.now();
  }

  *runs(): IterableIterator<{ account: Account; run: Run }> {
    for (const account of this.byEntry.values()) for (const run of account.runs.values()) yield { account, run };
  }

  /** Streams a consumer is working on: its run is open, and nobody has been granted the stream since. */
  inWork(consumer: string): string[] {
    const streams: string[] = [];
    for (const { account, run } of this.runs()) {
      if (consumerOf(run.owner) !== consumer || run.state !== 'working') continue;
      if (Math.max(...account.runs.keys()) === run.token) streams.push(account.stream);
    }
    return streams;
  }
}
