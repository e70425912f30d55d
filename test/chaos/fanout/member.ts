import { WorkerProcess } from '../worker-process.js';
import { noDeeds, type Command, type Deeds, type FanoutWorkerConfig, type Place, type Report } from './messages.js';

const WORKER = new URL('./worker.js', import.meta.url);

/** A process with subscribers. */
export class RoomMember extends WorkerProcess<Report, Command> {
  private constructor(readonly config: FanoutWorkerConfig) {
    super(config.name, RoomMember.start<Report>(WORKER, config, config.label));
  }

  static async spawn(config: FanoutWorkerConfig): Promise<RoomMember> {
    const member = new RoomMember(config);
    await member.first('ready', 30_000, 'its start');
    return member;
  }

  get label(): string {
    return this.config.label;
  }

  get places(): readonly Place[] {
    return this.config.places;
  }

  /** All sessions it has had. */
  get sessions(): string[] {
    return this.all('joined').map(({ session }) => session);
  }

  get deeds(): Deeds {
    return this.all('deeds').at(-1)?.deeds ?? noDeeds();
  }

  /** Graceful; waits until the process has ended by itself. */
  stop(timeoutMs = 20_000): Promise<void> {
    return this.end({ type: 'stop' }, 'stopped', timeoutMs);
  }
}
