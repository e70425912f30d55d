import type { Command, Report, WorkerConfig } from './messages.js';
import { WorkerProcess } from './worker-process.js';

const WORKER = new URL('./worker.js', import.meta.url);

/** A process with a lease consumer. */
export class Consumer extends WorkerProcess<Report, Command> {
  session = '';

  static async spawn(config: WorkerConfig): Promise<Consumer> {
    const consumer = new Consumer(config.name, Consumer.start<Report>(WORKER, config, config.name));
    await consumer.first('ready', 20_000, 'its start');
    consumer.session = consumer.all('joined').at(-1)?.session ?? '';
    return consumer;
  }

  override fresh(): Report[] {
    const fresh = super.fresh();
    for (const report of fresh) if (report.type === 'joined') this.session = report.session;
    return fresh;
  }

  /** Graceful; waits until the process has ended by itself. */
  stop(timeoutMs = 20_000): Promise<void> {
    return this.end({ type: 'stop' }, 'stopped', timeoutMs);
  }
}
