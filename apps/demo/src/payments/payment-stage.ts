import type { GroupAssignment, PartitionLag } from 'nestjs-redis-streams';
import type { LedgerReader } from '../ledger/ledger-reader.js';
import { Scene, type Setting, type Watched } from '../supervisor/scene.js';
import { count, say } from '../ui/lines.js';
import type { Journal } from './journal.js';
import type { BankMark } from './marks.js';
import { type Change, changesBetween } from './moves.js';
import { PARTITIONS } from './payment.js';

/** What `GET /partitions` answers. */
export interface PartitionsView {
  readonly assignment: GroupAssignment;
  readonly lag: readonly PartitionLag[];
}

const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition);

/** What scenarios of payments play on: workers to start, hurt and stop, and the bank's journal to watch. */
export class PaymentStage extends Scene {
  protected readonly watched: Watched;

  constructor(setting: Setting, reader: LedgerReader<BankMark>, readonly journal: Journal, private readonly bankUrl: string) {
    super(setting);
    this.watched = reader;
  }

  /** How soon work in progress goes on elsewhere when nobody has to be found dead. */
  get handOverBoundMs(): number {
    return this.soon(this.server.kind === 'embedded' ? 3_000 : 1_000);
  }

  async startWorker(name: string): Promise<void> {
    this.states.set(name, 'starting');
    await this.cast.start('worker', name, this.config(name));
    this.states.set(name, 'running');
  }

  async startPayer(): Promise<void> {
    await this.cast.start('payer', 'payer', this.config());
  }

  kill(name: string): readonly number[] {
    const partitions = this.hurt(name, 'SIGKILL');
    this.signalKill(name);
    return partitions;
  }

  freeze(name: string): readonly number[] {
    const partitions = this.hurt(name, 'SIGSTOP');
    this.signalStop(name);
    return partitions;
  }

  thaw(name: string): void {
    say('demo', 'fault', name, 'SIGCONT: it wakes up and believes it still owns its partitions');
    this.signalContinue(name);
  }

  /** Its worker; undefined when that is dead or frozen, or has handed it over. */
  ownerOf(partition: number): string | undefined {
    const holder = this.journal.holder(partition)?.worker;
    return holder !== undefined && (this.states.get(holder) === 'running' || this.states.get(holder) === 'stopping') ? holder : undefined;
  }

  owned(name: string): number[] {
    return ALL.filter((partition) => this.ownerOf(partition) === name);
  }

  running(): string[] {
    return [...this.states].filter(([, state]) => state === 'running').map(([name]) => name);
  }

  /** Every partition has an owner, and no worker has two more than another. */
  isEven(): boolean {
    const shares = this.running().map((name) => this.owned(name).length);
    return shares.reduce((sum, share) => sum + share, 0) === PARTITIONS && Math.max(...shares) - Math.min(...shares) <= 1;
  }

  /** Partitions that changed hands since a moment. */
  movedSince(at: number): Change[] {
    return changesBetween(this.journal, at, Date.now());
  }

  bookedBy(name: string): number {
    return this.journal.bookings.filter(({ worker, answer }) => worker === name && answer === 'booked').length;
  }

  partitions(): Promise<PartitionsView | undefined> {
    return this.ask<PartitionsView>('/partitions');
  }

  protected override config(name?: string) {
    return { ...super.config(name), bankUrl: this.bankUrl };
  }

  private hurt(name: string, kind: 'SIGKILL' | 'SIGSTOP'): readonly number[] {
    const partitions = this.owned(name);
    say('demo', 'fault', name, `${kind} while it owns ${count(partitions.length, 'partition')}: ${partitions.join(' ')}`);
    return partitions;
  }
}
