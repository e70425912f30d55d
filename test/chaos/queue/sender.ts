import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { createRng } from '../../support/seed.js';
import { type QueueSendOptions, RedisStreamsError } from './library.js';
import type { LedgerWriter } from './ledger.js';
import type { Counts, ProducerConfig, Status, Task } from './messages.js';
import { rangesOf } from './ranges.js';

const AT_ONCE = 256;
const MAX_DELAY_MS = 800;
/** What an error says of a message that certainly was not stored. */
const SURELY_UNSENT = /could be sent|were not tried|nothing was sent/;

const UNTYPED = 'UNTYPED';

/** What takes messages: a queue's producer, or a client that emits them as events. */
interface Producer {
  send(task: Task, options?: QueueSendOptions): Promise<unknown>;
}

/** Calls `send` and writes down what became of each call, once a turn. */
export class Sender {
  called = 0;
  private resolved = 0;
  private rejected = 0;
  private maxOpen = 0;
  private maxRss = 0;
  private notes = new Map<string, number[]>();
  private running = true;
  private readonly loop: Promise<void>;
  private readonly rng;
  private readonly text: string | undefined;
  private readonly sampling: NodeJS.Timeout;

  constructor(
    private readonly config: ProducerConfig,
    private readonly producer: Producer,
    private readonly ledger: LedgerWriter,
    private readonly trouble: (message: string) => void,
  ) {
    this.rng = createRng(config.seed);
    this.text = config.ballast > 0 ? (config.wide ? '\u6f22' : 'x').repeat(config.ballast) : undefined;
    this.sampling = setInterval(() => (this.maxRss = Math.max(this.maxRss, process.memoryUsage.rss())), 100).unref();
    this.loop = config.perSecond === undefined ? this.burst() : this.steady(config.perSecond);
  }

  /** Resolves when all `total` were called. */
  done(): Promise<void> {
    return this.loop;
  }

  /** Calls no more. */
  end(): void {
    this.running = false;
  }

  /** Calls no more; resolves when everything is settled, or when it is not in time. */
  async hold(timeoutMs = 60_000): Promise<void> {
    this.end();
    clearInterval(this.sampling);
    await this.loop;
    const until = performance.now() + timeoutMs;
    while (this.open > 0 && performance.now() < until) await sleep(5);
    await nextTurn();
  }

  /** Sends that are not settled. */
  get open(): number {
    return this.called - this.resolved - this.rejected;
  }

  get counts(): Counts {
    const { called, resolved, rejected } = this;
    return { called, resolved, rejected };
  }

  status(): Status {
    const status = { ...this.counts, open: this.maxOpen, rssBytes: Math.max(this.maxRss, process.memoryUsage.rss()) };
    this.maxOpen = this.open;
    this.maxRss = 0;
    return status;
  }

  private get goesOn(): boolean {
    return this.running && this.called < (this.config.total ?? Infinity);
  }

  private async burst(): Promise<void> {
    const { window = Infinity, total = Infinity } = this.config;
    while (this.goesOn) {
      for (let i = 0; i < AT_ONCE && this.goesOn && this.open < window && total - this.called > window; i++) this.send();
      // The last of them in one go, whatever is open: then a window's worth, and no less, is in flight when all are called.
      if (total - this.called <= window) while (this.goesOn) this.send();
      else await nextTurn();
    }
  }

  private async steady(perSecond: number): Promise<void> {
    const startedAt = performance.now();
    while (this.goesOn) {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond;
      while (this.called < due && this.goesOn) this.send();
      await sleep(5);
      // Now, and not before: who is refused hears of it after this turn.
      this.maxOpen = Math.max(this.maxOpen, this.open);
    }
  }

  private send(): void {
    const { config, rng, text } = this;
    const n = this.called++;
    const task: Task = { p: config.producer, n, workMs: config.maxWorkMs > 0 ? rng.int(0, config.maxWorkMs) : 0, ballast: text };
    const options = config.mixed ? this.optionsOf(n) : undefined;
    this.producer.send(task, options).then(() => this.took(n), (error: unknown) => this.refused(n, error));
    // A duplicate: stored, it would be handled under two ids. Whether it is answered before the end is nobody's affair.
    if (options?.id !== undefined && n % 16 < 8) this.producer.send(task, options).catch(() => undefined);
  }

  private optionsOf(n: number): QueueSendOptions {
    const { rng } = this;
    const key = `k${rng.int(0, 199)}`;
    const id = `${this.config.producer}#${n}`;
    const delayMs = rng.int(1, MAX_DELAY_MS);
    return [{}, { key }, {}, { id }, { delayMs }, {}, { key, id }, { key, id, delayMs }][n % 8]!;
  }

  private took(n: number): void {
    this.resolved++;
    this.note(`S ${this.config.producer}`, n);
    if (this.config.dieAt !== undefined && this.resolved >= this.config.dieAt) process.kill(process.pid, 'SIGKILL');
  }

  private refused(n: number, error: unknown): void {
    this.rejected++;
    const { code, message } = typed(error);
    if (code === UNTYPED) this.trouble(`a send was rejected with an error that is none of the library: ${message}`);
    const sure = code === 'BACKPRESSURE' || SURELY_UNSENT.test(message) ? 1 : 0;
    this.note(`F ${this.config.producer} ${code} ${sure}`, n);
  }

  private note(what: string, n: number): void {
    if (this.notes.size === 0) setImmediate(() => this.flush());
    const known = this.notes.get(what);
    if (known) known.push(n);
    else this.notes.set(what, [n]);
  }

  private flush(): void {
    const { notes } = this;
    this.notes = new Map();
    for (const [what, numbers] of notes) this.ledger.note(what, rangesOf(numbers)).catch(() => undefined);
  }
}

/** What the library throws has a class of its own; what ioredis or Node throws may have a code too. */
function typed(error: unknown): { code: string; message: string } {
  if (error instanceof RedisStreamsError) return error;
  return { code: UNTYPED, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
