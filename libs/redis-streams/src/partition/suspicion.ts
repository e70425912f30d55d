import { compareStreamIds } from '../kernel/stream-id.js';
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
  ) {
    this.over = maxCrashes === 0 || (opened.losses < LOSSES && opened.mark === undefined);
  }

  get isActive(): boolean {
    return !this.over;
  }

  /** Of the next message in turn. Those that came after the last owner's death are beyond suspicion, and end it. */
  verdict(id: string): 'suspect' | 'culprit' | 'clear' {
    if (compareStreamIds(id, this.opened.end) > 0) {
      this.over = true;
      return 'clear';
    }
    return this.crashesOf(id) >= Math.max(1, this.maxCrashes - LOSSES) ? 'culprit' : 'suspect';
  }

  /** Deaths of the process while this message ran alone. */
  crashesOf(id: string): number {
    return id === this.opened.mark ? this.opened.markCrashes : 0;
  }
}
