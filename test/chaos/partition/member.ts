import { WorkerProcess } from '../worker-process.js';
import type { Command, PartitionWorkerConfig, Report } from './messages.js';

const WORKER = new URL('./worker.js', import.meta.url);

/** A process with a partition consumer. */
export class Member extends WorkerProcess<Report, Command> {
  static async spawn(config: PartitionWorkerConfig): Promise<Member> {
    const member = new Member(config.name, Member.start<Report>(WORKER, config, config.label));
    await member.first(config.onCall === true ? 'loaded' : 'ready', 20_000, 'its start');
    return member;
  }

  /** One that was only loaded begins; resolves when it has joined. */
  async begin(): Promise<void> {
    this.send({ type: 'start' });
    await this.first('ready', 20_000, 'its start');
  }

  /** Its latest session. */
  get session(): string {
    return this.all('joined').at(-1)?.session ?? '';
  }

  /** Graceful; waits until the process has ended by itself. */
  stop(timeoutMs = 20_000): Promise<void> {
    return this.end({ type: 'stop' }, 'stopped', timeoutMs);
  }
}
