import type { LeaseStats } from 'nestjs-redis-streams';
import type { LedgerReader } from '../ledger/ledger-reader.js';
import type { Run } from '../ledger/accounts.js';
import { say } from '../ui/lines.js';
import { Cast } from './cast.js';
import { roleConfig, type RunOptions } from './run-options.js';
import type { DemoServer } from '../server/server.js';

export interface Fault {
  readonly consumer: string;
  readonly kind: 'SIGKILL' | 'SIGSTOP';
  readonly at: number;
  /** What it was working on. */
  readonly streams: readonly string[];
}

export interface Kept {
  readonly promise: string;
  readonly ok: boolean;
}

const LOOK_MS = 50;

/** What a scenario plays on: processes to start, hurt and stop, and the ledger to watch. */
export class Stage {
  readonly cast = new Cast();
  readonly faults: Fault[] = [];
  readonly promises: Kept[] = [];
  readonly states = new Map<string, string>();
  /** When the play began: all processes were up. */
  startedAt = Date.now();
  apiUrl = '';

  constructor(
    readonly options: RunOptions,
    readonly server: DemoServer,
    readonly service: string,
    readonly ledger: LedgerReader,
    readonly interrupted: AbortSignal,
  ) {}

  get elapsedMs(): number {
    return Date.now() - this.startedAt;
  }

  /** A dead owner is noticed at its deadline; an embedded server and a busy machine take their time over the rest. */
  get takeoverBoundMs(): number {
    return this.options.ttlMs + (this.server.kind === 'embedded' ? 3_000 : 1_000);
  }

  async startConsumer(name: string): Promise<void> {
    this.states.set(name, 'starting');
    await this.cast.start('consumer', name, this.config(name));
    this.states.set(name, 'running');
  }

  async startApi(): Promise<void> {
    const { url = '' } = await (await this.cast.start('api', 'api', this.config())).ready;
    this.apiUrl = url;
  }

  async startProducer(rate = this.options.rate): Promise<void> {
    await this.cast.start('producer', 'producer', { ...this.config(), rate });
  }

  produce(count: number): void {
    this.cast.get('producer').send({ type: 'produce', count });
  }

  kill(name: string): Fault {
    const fault = this.fault(name, 'SIGKILL');
    void this.cast.get(name).kill();
    this.states.set(name, 'killed');
    return fault;
  }

  freeze(name: string): Fault {
    const fault = this.fault(name, 'SIGSTOP');
    this.cast.get(name).signal('SIGSTOP');
    this.states.set(name, 'stopped');
    return fault;
  }

  thaw(name: string): void {
    say('demo', 'fault', name, 'SIGCONT: it wakes up and believes it still owns its streams');
    this.cast.get(name).signal('SIGCONT');
    this.states.set(name, 'running');
  }

  inWork(name: string): string[] {
    return this.ledger.accounts.inWork(name);
  }

  /** Runs of a stream, oldest first. */
  runsOf(stream: string): Run[] {
    for (const account of this.ledger.accounts.byEntry.values()) if (account.stream === stream) return [...account.runs.values()].toSorted((a, b) => a.token - b.token);
    return [];
  }

  async stats(): Promise<LeaseStats | undefined> {
    try {
      return (await (await fetch(`${this.apiUrl}/stats`, { signal: AbortSignal.timeout(2_000) })).json()) as LeaseStats;
    } catch {
      return undefined;
    }
  }

  promise(promise: string, ok: boolean): void {
    this.promises.push({ promise, ok });
    if (!ok) say('demo', 'error', '', `not kept: ${promise}`);
  }

  /** Waits for a condition. @returns whether it came true in time. @throws Interrupted */
  async until(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      this.interrupted.throwIfAborted();
      if (await condition()) return true;
      if (Date.now() >= deadline) return false;
      await this.nextLook();
    }
  }

  /** @throws Interrupted */
  async pause(ms: number): Promise<void> {
    const end = Date.now() + ms;
    await this.until(() => Date.now() >= end, ms + 1_000);
  }

  /** Until this part of the run's time has passed. */
  async untilPart(part: number): Promise<void> {
    const { seconds } = this.options;
    await this.pause(seconds === undefined ? Number.MAX_SAFE_INTEGER : Math.max(0, this.startedAt + seconds * 1_000 * part - Date.now()));
  }

  private nextLook(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        forget();
        resolve();
      };
      const timer = setTimeout(end, LOOK_MS);
      const forget = this.ledger.onMarks(end);
    });
  }

  private fault(consumer: string, kind: Fault['kind']): Fault {
    const streams = this.inWork(consumer);
    say('demo', 'fault', consumer, `${kind} while it works on ${streams.join(', ') || 'nothing'}`);
    const fault: Fault = { consumer, kind, at: Date.now(), streams };
    this.faults.push(fault);
    return fault;
  }

  private config(name?: string) {
    return roleConfig(this.options, this.server.url, this.service, name);
  }
}
