import type { PartitionWindow } from '../kernel/partition-window.js';
import type { RawMessage } from './delivery.js';
import type { CommitAnswer, CommitItem, OpenedPartition, Parked } from './partition-store.js';

const LAG_EVERY_MS = 1_000;
const TRIM_EVERY = 1_024;
const STALE_MS = 10_000;

/** What the next commit of one partition says, and what the last answers told. */
export class CommitDraft {
  /** The suspect that runs, to be known before it does. */
  mark: CommitItem['mark'];
  private parked: Parked[] = [];
  private sequence = 0;
  private answered = 0;
  private passed = 0;
  /** Below zero: what owners before this one have committed may wait to be trimmed. */
  private trimmedPassed = -1;
  /** When the last of what was trimmed so far is to be kept no longer. */
  private trimAgainAt = Infinity;
  /** Entries read before the window began (NaN: unknown), and what was dropped unread by then; the server corrects them. */
  private entriesBefore: number;
  private dropped: string;
  private sampledLag: number;
  private sampledAt = 0;
  private sampledPassed = 0;

  constructor(
    private readonly partition: number,
    private readonly token: number,
    opened: OpenedPartition,
    private readonly window: PartitionWindow<RawMessage>,
    /** How long what is committed is kept. */
    private readonly keepMs: number,
  ) {
    this.sampledLag = opened.lag;
    this.entriesBefore = opened.entriesRead < 0 ? NaN : opened.entriesRead;
    this.dropped = opened.dropped;
  }

  park(letter: Parked): void {
    this.parked.push(letter);
  }

  /** Messages not finished, as far as known. */
  get behind(): number {
    return Math.max(this.window.open, this.sampledLag - (this.passed - this.sampledPassed));
  }

  /** Committed messages wait to be trimmed: an idle partition must not keep them until the next message. */
  needsTrim(now: number): boolean {
    return this.passed > this.trimmedPassed || now >= this.trimAgainAt;
  }

  /** The server knows all that this draft was told of. */
  get isStored(): boolean {
    return this.answered === this.sequence && this.parked.length === 0 && this.mark === undefined;
  }

  /** Nothing was heard of the server's side for a while. */
  isStale(now: number): boolean {
    return now - this.sampledAt >= STALE_MS;
  }

  /** To be sent until answered: what is in it is in no other. */
  item(now: number): CommitItem {
    const progress = this.window.progress();
    this.passed = progress.passed;
    const wantLag = now - this.sampledAt >= LAG_EVERY_MS;
    if (wantLag) this.sampledAt = now;
    const trim = this.passed - this.trimmedPassed >= TRIM_EVERY || (wantLag && this.needsTrim(now));
    if (trim) this.trims(now);
    const { parked } = this;
    this.parked = [];
    const { entriesBefore, dropped } = this;
    return {
      partition: this.partition, token: this.token, sequence: ++this.sequence, progress, parked, trim, wantLag, dropped, mark: this.mark,
      entriesRead: Number.isNaN(entriesBefore) ? -1 : entriesBefore + this.passed,
    };
  }

  /** What has been committed since the last time stays for `keepMs`; by the server's clock, so a little longer by ours. */
  private trims(now: number): void {
    this.trimAgainAt = this.keepMs > 0 && this.passed > this.trimmedPassed ? now + this.keepMs * 1.001 + 50 : Infinity;
    this.trimmedPassed = this.passed;
  }

  accepted(item: CommitItem, answer: Exclude<CommitAnswer, 'FENCED'>): void {
    if (answer !== 'OK') {
      const { passed } = item.progress;
      this.entriesBefore = answer.entriesRead < 0 ? NaN : answer.entriesRead - passed;
      this.dropped = answer.dropped;
      if (answer.lag >= 0) {
        this.sampledLag = answer.lag;
        this.sampledPassed = passed;
      }
    }
    if (item.sequence > this.answered) this.answered = item.sequence;
    this.window.committed(item.progress);
  }
}
