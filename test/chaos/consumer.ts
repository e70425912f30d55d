import { spawnNode, type TestProcess } from '../support/processes.js';
import { isReport, type Command, type Report, type ReportOf, type WorkerConfig } from './messages.js';

const WORKER = new URL('./worker.js', import.meta.url);

/** A worker process as the runner sees it. */
export class Consumer {
  private cursor = 0;
  session = '';
  state: 'running' | 'paused' | 'stopping' | 'ended' = 'running';

  private constructor(
    readonly name: string,
    readonly process: TestProcess<Report>,
  ) {}

  static async spawn(config: WorkerConfig): Promise<Consumer> {
    const consumer = new Consumer(config.name, spawnNode<Report>(WORKER, { args: [JSON.stringify(config)], label: config.name }));
    await consumer.process.waitFor(isReport('ready'), 20_000, 'its start');
    consumer.session = consumer.all('joined').at(-1)?.session ?? '';
    return consumer;
  }

  /** Reports since the last call. */
  fresh(): Report[] {
    const fresh = this.process.messages.slice(this.cursor);
    this.cursor += fresh.length;
    for (const report of fresh) if (report.type === 'joined') this.session = report.session;
    return fresh;
  }

  all<T extends Report['type']>(type: T): ReportOf<T>[] {
    return this.process.messages.filter(isReport(type));
  }

  /** Sends a command and waits for the next report of a type. */
  async ask<T extends Report['type']>(command: Command, answer: T, timeoutMs = 30_000): Promise<ReportOf<T>> {
    const from = this.process.messages.length;
    this.process.send(command);
    return this.process.waitFor(
      (report: Report): report is ReportOf<T> => report.type === answer && this.process.messages.indexOf(report, from) >= 0,
      timeoutMs,
      `${answer} after ${command.type}`,
    );
  }

  send(command: Command): void {
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
  async stop(timeoutMs = 20_000): Promise<void> {
    this.state = 'stopping';
    this.process.send({ type: 'stop' } satisfies Command);
    await this.process.waitFor(isReport('stopped'), timeoutMs, 'a graceful stop');
    const late = setTimeout(() => this.process.signal('SIGKILL'), 5_000);
    const { signal } = await this.process.exited;
    clearTimeout(late);
    this.state = 'ended';
    if (signal === 'SIGKILL') throw new Error(`${this.name} did not end by itself within 5 s of its engine's stop`);
  }
}
