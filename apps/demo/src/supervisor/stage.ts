import type { LeaseStats } from 'nestjs-redis-streams';
import type { LedgerReader } from '../ledger/ledger-reader.js';
import type { Accounts, Run } from '../ledger/accounts.js';
import type { Mark } from '../ledger/marks.js';
import { say } from '../ui/lines.js';
import { Scene, type Setting, type Watched } from './scene.js';

export interface Fault {
  readonly consumer: string;
  readonly kind: 'SIGKILL' | 'SIGSTOP';
  readonly at: number;
  /** What it was working on. */
  readonly streams: readonly string[];
}

/** What scenarios of order streams play on: processes to start, hurt and stop, and the ledger to watch. */
export class Stage extends Scene {
  readonly faults: Fault[] = [];
  protected readonly watched: Watched;

  constructor(setting: Setting, readonly ledger: LedgerReader<Mark>, readonly accounts: Accounts) {
    super(setting);
    this.watched = ledger;
  }

  async startConsumer(name: string): Promise<void> {
    this.states.set(name, 'starting');
    await this.cast.start('consumer', name, this.config(name));
    this.states.set(name, 'running');
  }

  async startProducer(rate = this.options.rate): Promise<void> {
    await this.cast.start('producer', 'producer', { ...this.config(), rate });
  }

  produce(count: number): void {
    this.cast.get('producer').send({ type: 'produce', count });
  }

  kill(name: string): Fault {
    const fault = this.fault(name, 'SIGKILL');
    this.signalKill(name);
    return fault;
  }

  freeze(name: string): Fault {
    const fault = this.fault(name, 'SIGSTOP');
    this.signalStop(name);
    return fault;
  }

  thaw(name: string): void {
    say('demo', 'fault', name, 'SIGCONT: it wakes up and believes it still owns its streams');
    this.signalContinue(name);
  }

  inWork(name: string): string[] {
    return this.accounts.inWork(name);
  }

  /** Runs of a stream, oldest first. */
  runsOf(stream: string): Run[] {
    for (const account of this.accounts.byEntry.values()) if (account.stream === stream) return [...account.runs.values()].toSorted((a, b) => a.token - b.token);
    return [];
  }

  stats(): Promise<LeaseStats | undefined> {
    return this.ask<LeaseStats>('/stats');
  }

  private fault(consumer: string, kind: Fault['kind']): Fault {
    const streams = this.inWork(consumer);
    say('demo', 'fault', consumer, `${kind} while it works on ${streams.join(', ') || 'nothing'}`);
    const fault: Fault = { consumer, kind, at: Date.now(), streams };
    this.faults.push(fault);
    return fault;
  }
}
