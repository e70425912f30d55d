import { WorkerProcess } from '../worker-process.js';
import type { Command, ConsumerConfig, ProducerConfig, Report } from './messages.js';

const START_MS = 30_000;

class QueueProcess extends WorkerProcess<Report, Command> {
  /** It ends by itself or is ended, and that is in order. */
  expectedToEnd = false;

  override kill(): Promise<void> {
    this.expectedToEnd = true;
    return super.kill();
  }

  /** Graceful; waits until the process has ended by itself. */
  stop(timeoutMs = 30_000): Promise<void> {
    this.expectedToEnd = true;
    return this.end({ type: 'stop' }, 'stopped', timeoutMs);
  }
}

/** A process that sends. */
export class ProducerProcess extends QueueProcess {
  static async spawn(config: ProducerConfig): Promise<ProducerProcess> {
    const producer = new ProducerProcess(config.label, ProducerProcess.start<Report>(new URL('./producer-worker.js', import.meta.url), config, config.label), config.producer);
    producer.expectedToEnd = config.dieAt !== undefined;
    await producer.first('ready', START_MS, 'its start');
    return producer;
  }

  private constructor(name: string, process: QueueProcess['process'], readonly number: number) {
    super(name, process);
  }
}

/** A process that consumes. */
export class ConsumerProcess extends QueueProcess {
  static async spawn(config: ConsumerConfig): Promise<ConsumerProcess> {
    const consumer = new ConsumerProcess(config.name, ConsumerProcess.start<Report>(new URL('./consumer-worker.js', import.meta.url), config, config.label));
    await consumer.first('ready', START_MS, 'its start');
    return consumer;
  }

  /** Its live sessions: one a shard. */
  get sessions(): string[] {
    const lost = new Set(this.all('lost').map(({ session }) => session));
    return this.all('joined').flatMap(({ session }) => (lost.has(session) ? [] : [session]));
  }
}
export type { QueueProcess };
