import { spawnNode, type TestProcess } from '../support/processes.js';

/** A worker process as the runner sees it: what it reported, and what is done to it. R: what it may report; C: what it understands. */
export class WorkerProcess<R extends { readonly type: string }, C extends { readonly type: string }> {
  private cursor = 0;
  state: 'running' | 'paused' | 'stopping' | 'ended' = 'running';

  protected constructor(
    readonly name: string,
    readonly process: TestProcess<R>,
  ) {}

  protected static start<R>(script: URL, config: object, label: string): TestProcess<R> {
    return spawnNode<R>(script, { args: [JSON.stringify(config)], label });
  }

  /** Reports since the last call. */
  fresh(): R[] {
    const fresh = this.process.messages.slice(this.cursor);
    this.cursor += fresh.length;
    return fresh;
  }

  all<T extends R['type']>(type: T): Extract<R, { type: T }>[] {
    return this.process.messages.filter((report): report is Extract<R, { type: T }> => report.type === type);
  }

  /** Waits for the first report of a type, past or future. */
  first<T extends R['type']>(type: T, timeoutMs: number, what: string): Promise<Extract<R, { type: T }>> {
    return this.process.waitFor((report: R): report is Extract<R, { type: T }> => report.type === type, timeoutMs, what);
  }

  /** Sends a command and waits for the next report of a type. */
  async ask<T extends R['type']>(command: C, answer: T, timeoutMs = 30_000): Promise<Extract<R, { type: T }>> {
    const from = this.process.messages.length;
    this.process.send(command);
    return this.process.waitFor(
      (report: R): report is Extract<R, { type: T }> => report.type === answer && this.process.messages.indexOf(report, from) >= 0,
      timeoutMs,
      `${answer} after ${command.type}`,
    );
  }

  send(command: C): void {
    this.process.send(command);
  }

  async kill(): Promise<void> {
    this.state = 'ended';
    await this.process.kill('SIGKILL');
  }

  pause(): void {
    this.state = 'paused';
    this.process.stopProcess();
  }

  continue(): void {
    this.state = 'running';
    this.process.continue();
  }

  /** Graceful; waits until the process has ended by itself. */
  protected async end(command: C, answer: R['type'], timeoutMs: number): Promise<void> {
    this.state = 'stopping';
    this.process.send(command);
    await this.first(answer, timeoutMs, 'a graceful stop');
    const late = setTimeout(() => this.process.signal('SIGKILL'), 5_000);
    const { signal } = await this.process.exited;
    clearTimeout(late);
    this.state = 'ended';
    if (signal === 'SIGKILL') throw new Error(`${this.name} did not end by itself within 5 s of its engine's stop; its output: ${this.process.output().slice(-3_000)}`);
  }
}
