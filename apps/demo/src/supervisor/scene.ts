import type { DemoServer } from '../server/server.js';
import { say } from '../ui/lines.js';
import { Cast } from './cast.js';
import { roleConfig, type RunOptions } from './run-options.js';

export interface Kept {
  readonly promise: string;
  readonly ok: boolean;
}

/** What a show needs besides its own processes and its own ledger. */
export interface Setting {
  readonly options: RunOptions;
  readonly server: DemoServer;
  readonly service: string;
  readonly interrupted: AbortSignal;
}

/** Tells of every batch of marks that came in. */
export interface Watched {
  /** @returns a function that removes the listener. */
  onMarks(listener: () => void): () => void;
}

const LOOK_MS = 50;

/** What every scenario plays on: processes to hurt, a clock, and promises to keep. */
export abstract class Scene {
  readonly cast = new Cast();
  readonly promises: Kept[] = [];
  readonly states = new Map<string, string>();
  /** When the play began: all processes were up. */
  startedAt = Date.now();
  /** Nothing was left to do; what happens then is the end of the processes. */
  drainedAt = Number.MAX_SAFE_INTEGER;
  apiUrl = '';
  readonly options: RunOptions;
  readonly server: DemoServer;
  readonly service: string;
  readonly interrupted: AbortSignal;
  protected abstract readonly watched: Watched;

  constructor({ options, server, service, interrupted }: Setting) {
    this.options = options;
    this.server = server;
    this.service = service;
    this.interrupted = interrupted;
  }

  get elapsedMs(): number {
    return Date.now() - this.startedAt;
  }

  /** A dead owner is noticed at its deadline; an embedded server and a busy machine take their time over the rest. */
  get takeoverBoundMs(): number {
    return this.soon(this.options.ttlMs + (this.server.kind === 'embedded' ? 3_000 : 1_000));
  }

  /** A bound of time as it is promised on this machine. */
  soon(ms: number): number {
    return ms + this.options.slackMs;
  }

  /** What became of the processes, by name. */
  fates(): Map<string, string> {
    return new Map([...this.states].map(([name, state]) => [name, this.cast.members.get(name)?.ended && state !== 'killed' ? 'ended' : state]));
  }

  async startApi(): Promise<void> {
    const { url = '' } = await (await this.cast.start('api', 'api', this.config())).ready;
    this.apiUrl = url;
  }

  /** What the API answers there; undefined when it does not. */
  async ask<T>(path: string): Promise<T | undefined> {
    try {
      const response = await fetch(`${this.apiUrl}${path}`, { signal: AbortSignal.timeout(2_000) });
      return response.ok ? ((await response.json()) as T) : undefined;
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

  /** A play that was cut short may leave somebody frozen, who could not stop when asked to. */
  wakeAll(): void {
    for (const [name, state] of this.states) if (state === 'stopped') this.signalContinue(name);
  }

  protected signalKill(name: string): void {
    void this.cast.get(name).kill();
    this.states.set(name, 'killed');
  }

  protected signalStop(name: string): void {
    this.cast.get(name).signal('SIGSTOP');
    this.states.set(name, 'stopped');
  }

  protected signalContinue(name: string): void {
    this.cast.get(name).signal('SIGCONT');
    this.states.set(name, 'running');
  }

  protected config(name?: string) {
    return roleConfig(this.options, this.server.url, this.service, name);
  }

  private nextLook(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        forget();
        resolve();
      };
      const timer = setTimeout(end, LOOK_MS);
      const forget = this.watched.onMarks(end);
    });
  }
}
