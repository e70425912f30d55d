import { setTimeout as sleep } from 'node:timers/promises';
import { createRng, type Rng } from '../../support/seed.js';
import { RedisStreamsError } from '../queue/library.js';
import type { RedisStreamsClient } from './library.js';
import { answerTo, MANY, ONE, type Question } from './messages.js';

const MAX_VALUES = 8;
const MAX_WORK_MS = 15;

/** Sends requests of one client and writes down what its caller got for each. */
export class Caller {
  private asked = 0;
  private open = 0;
  private running = true;
  private readonly rng: Rng;

  constructor(
    private readonly client: RedisStreamsClient,
    private readonly number: number,
    seed: number,
    private readonly note: (...line: Array<string | number>) => void,
  ) {
    this.rng = createRng(seed);
  }

  async steady(perSecond: number): Promise<void> {
    const startedAt = performance.now();
    while (this.running) {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond;
      while (this.asked < due && this.running) void this.ask(this.rng.chance(0.25) ? MANY : ONE);
      await sleep(5);
    }
  }

  /** Asks no more; resolves when every caller was told, or when that is not so in time. */
  async hold(timeoutMs = 60_000): Promise<void> {
    this.running = false;
    const until = performance.now() + timeoutMs;
    while (this.open > 0 && performance.now() < until) await sleep(5);
  }

  /** Resolves when its caller was told. */
  ask(pattern: typeof ONE | typeof MANY): Promise<void> {
    const question: Question = { p: this.number, n: this.asked++, values: pattern === ONE ? 1 : this.rng.int(0, MAX_VALUES), workMs: this.rng.int(0, MAX_WORK_MS) };
    const startedAt = performance.now();
    const got: unknown[] = [];
    this.open++;
    this.note('Q', question.p, question.n);
    return new Promise((resolve) => {
      const over = (outcome: string): void => {
        this.open--;
        this.note('Z', question.p, question.n, Math.round(performance.now() - startedAt), outcome);
        resolve();
      };
      this.client.send<unknown>(pattern, question).subscribe({
        next: (value) => got.push(value),
        complete: () => over(verdictOn(question, got)),
        error: (error: unknown) => over(`failed_${error instanceof RedisStreamsError ? error.code : JSON.stringify(error)}_${String((error as Error).message)}`.replaceAll(' ', '_').slice(0, 200)),
      });
    });
  }
}

function verdictOn(question: Question, got: readonly unknown[]): string {
  const expected = Array.from({ length: question.values }, (_, i) => answerTo(question, i));
  return got.length === expected.length && got.every((value, i) => value === expected[i]) ? 'ok' : `wrong_${JSON.stringify(got)}_instead_of_${JSON.stringify(expected)}`.replaceAll(' ', '_');
}
