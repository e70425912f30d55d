import { isTransient } from '../kernel/server-errors.js';
import { sleep } from '../redis/sleep.js';
import type { HeldMessage } from './held-message.js';
import type { GivenUpMessage, Outcomes, QueueShardStore, RetriedMessage } from './store.js';

const RETRY_MS = 100;
/** The server will not do it, and nothing we do changes that soon. */
const REFUSED_MS = 1_000;
const MAX_BATCH = 4_000;
/** So many outcomes are worth a call of their own. */
const WORTH_A_CALL = 64;

export interface SettlementsHost {
  /** So long an outcome may wait for others to be told along with. Default: not at all. */
  readonly lingerMs?: number;
  /** The live session, or undefined. */
  session(): string | undefined;
  /** The server has it. `dueMs`: until the first retry is due, or -1. */
  settled(outcomes: Outcomes, dueMs: number): void;
  refused(session: string): void;
  trouble(error: Error): void;
}

/**
 * Tells the server what became of messages, one batch at a time: what comes while one is under way is the next. A batch is
 * repeated until it is answered or the session is over, for then it is for others to settle.
 */
export class Settlements {
  private done: HeldMessage[] = [];
  private again: RetriedMessage[] = [];
  private givenUp: GivenUpMessage[] = [];
  private running: Promise<void> | undefined;
  private waiters: Array<{ resolve(stored: boolean): void }> = [];
  private go: (() => void) | undefined;
  private hurried = false;

  constructor(
    private readonly store: QueueShardStore,
    private readonly host: SettlementsHost,
  ) {}

  handled(held: HeldMessage): void {
    this.done.push(held);
    this.running ??= this.run();
    if (this.done.length >= WORTH_A_CALL) this.hurry();
  }

  retry(held: HeldMessage, delayMs: number): void {
    this.again.push({ held, delayMs });
    this.running ??= this.run();
    this.hurry();
  }

  giveUp(held: HeldMessage, fields: readonly string[]): void {
    this.givenUp.push({ held, fields });
    this.running ??= this.run();
    this.hurry();
  }

  /** What waits for others goes now. */
  hurry(): void {
    this.hurried = true;
    this.go?.();
  }

  /** Resolves when what was said so far is stored; false: the session was over before. */
  stored(): Promise<boolean> {
    if (this.isEmpty && !this.running) return Promise.resolve(true);
    this.hurry();
    return new Promise((resolve) => this.waiters.push({ resolve }));
  }

  /** The session is over: nothing of this is ours to tell any more. */
  drop(): void {
    this.done = [];
    this.again = [];
    this.givenUp = [];
    const { waiters } = this;
    this.waiters = [];
    for (const { resolve } of waiters) resolve(false);
    this.hurry();
  }

  private get isEmpty(): boolean {
    return this.done.length + this.again.length + this.givenUp.length === 0;
  }

  private async run(): Promise<void> {
    let stored = true;
    for (;;) {
      await this.gathered();
      if (this.isEmpty) break;
      const outcomes = this.take();
      // What was said before and did not fit is in a later batch: who asked waits for that one. What is said from here on
      // is nothing they wait for, or under a steady load they would wait for ever.
      const waiters = this.isEmpty ? this.waiters : [];
      if (this.isEmpty) this.waiters = [];
      stored = await this.tell(outcomes);
      for (const { resolve } of waiters) resolve(stored);
    }
    this.running = undefined;
    const { waiters } = this;
    this.waiters = [];
    for (const { resolve } of waiters) resolve(stored);
  }

  /** One turn later at least, so that everything said in this turn shares the batch. */
  private async gathered(): Promise<void> {
    const { lingerMs = 0 } = this.host;
    if (lingerMs > 0 && !this.hurried && !this.isEmpty) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, lingerMs);
        this.go = () => (clearTimeout(timer), resolve());
      });
      this.go = undefined;
    }
    this.hurried = false;
  }

  private take(): Outcomes {
    const outcomes = { done: this.done.slice(0, MAX_BATCH), again: this.again.slice(0, MAX_BATCH), givenUp: this.givenUp.slice(0, 100) };
    this.done = this.done.slice(MAX_BATCH);
    this.again = this.again.slice(MAX_BATCH);
    this.givenUp = this.givenUp.slice(100);
    return outcomes;
  }

  private async tell(outcomes: Outcomes): Promise<boolean> {
    const session = this.host.session();
    for (let told = false; session !== undefined && this.host.session() === session; ) {
      try {
        const due = await this.store.settle(session, outcomes);
        if (due === undefined) {
          this.host.refused(session);
          return false;
        }
        if (this.host.session() === session) this.host.settled(outcomes, due);
        return true;
      } catch (error) {
        const transient = isTransient(error);
        if (!transient && !told) this.host.trouble(error as Error);
        told ||= !transient;
        await sleep(transient ? RETRY_MS : REFUSED_MS);
      }
    }
    return false;
  }
}
