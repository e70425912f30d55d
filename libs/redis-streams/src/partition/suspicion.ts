import { compareStreamIds } from '../kernel/stream-id.js';
import type { CommitDraft } from './commit-draft.js';
import type { OpenedPartition } from './partition-store.js';

/** Losses in a row at one place before its messages are suspected. */
const LOSSES = 2;

/**
 * Which message ends its process? Owners died here without any progress; the deaths say where, not who. From the second
 * death on messages run one at a time, each written down before it runs: who is written down when the process dies has
 * died with it. A message that collects enough of that is the culprit; one that runs through is cleared.
 */
export class Suspicion {
  private over: boolean;

  constructor(
    private readonly opened: OpenedPartition,
    private readonly maxCrashes: number,
    /** As many as can have been given out at the last owner's death: its window. */
    private suspects: number,
  ) {
    this.over = maxCrashes === 0 || (opened.losses < LOSSES && opened.mark === undefined);
  }

  get isActive(): boolean {
    return !this.over;
  }

  /**
   * Of the next message in turn. Those beyond the last owner's window, or that came after its death, are beyond suspicion and
   * end it: what lasts longer than it must dies with owners that die of something else.
   */
  verdict(id: string): 'suspect' | 'culprit' | 'clear' {
    if (compareStreamIds(id, this.opened.end) > 0 || this.suspects-- <= 0) {
      this.over = true;
      return 'clear';
    }
    if (this.crashesOf(id) < Math.max(1, this.maxCrashes - LOSSES)) return 'suspect';
    this.over = true; // the deaths are explained: what follows needs its own
    return 'culprit';
  }

  /** Deaths of the process while this message ran alone. */
  crashesOf(id: string): number {
    return id === this.opened.mark ? this.opened.markCrashes : 0;
  }
}

/** The turns in which suspects run: one at a time in the whole process, each stored before it begins and cleared after it. */
export class SuspectTurns {
  isBusy = false;
  private end: (() => void) | undefined;

  constructor(
    private readonly draft: CommitDraft,
    private readonly alone: () => Promise<() => void>,
    private readonly flush: () => Promise<void>,
  ) {}

  /** `start` begins the message, or says that it cannot any more. */
  async begin(mark: { readonly id: string; readonly crashes: number }, start: () => boolean): Promise<void> {
    this.isBusy = true;
    const endTurn = await this.alone();
    this.end = () => {
      this.end = undefined;
      this.draft.mark = undefined;
      this.isBusy = false;
      // Cleared on the server before another may run, or that one's death would be counted against this one.
      void this.flush().catch(() => undefined).finally(() => endTurn());
    };
    this.draft.mark = mark;
    try {
      await this.flush();
    } catch {
      return this.over(); // fenced: somebody else's by now
    }
    if (!start()) this.over();
  }

  /** A culprit's end is stored before the next one runs: that one may be a killer too. */
  async settle(): Promise<void> {
    this.isBusy = true;
    await this.flush().catch(() => undefined);
    this.isBusy = false;
  }

  /** The turn under way, if any, has ended. */
  over(): void {
    this.end?.();
  }
}
