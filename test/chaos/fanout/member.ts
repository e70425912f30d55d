import { WorkerProcess } from '../worker-process.js';
import { noDeeds, type Command, type Deeds, type FanoutWorkerConfig, type Place, type Report } from './messages.js';

const WORKER = new URL('./worker.js', import.meta.url);

type Process = RoomMember['process'];

/** Processes that have loaded everything and wait to be told who they are: on a busy machine a start takes seconds, and a room may be without members for as long. */
export class Spares {
  private readonly waiting: Process[] = [];
  private labels = 0;
  private closed = false;

  constructor(private readonly size: number) {
    this.fill();
  }

  /** The one that has waited longest, or a new one. */
  take(): Process {
    const taken = this.waiting.shift() ?? this.begin();
    this.fill();
    return taken;
  }

  async stop(): Promise<void> {
    this.closed = true;
    await Promise.all(this.waiting.map((process) => process.kill('SIGKILL')));
  }

  private begin(): Process {
    return RoomMember.prepare(`w${++this.labels}`);
  }

  private fill(): void {
    while (!this.closed && this.waiting.length < this.size) this.waiting.push(this.begin());
  }
}

/** A process with subscribers. */
export class RoomMember extends WorkerProcess<Report, Command> {
  private constructor(readonly config: FanoutWorkerConfig, process: Process) {
    super(config.name, process);
  }

  /** It loads, and waits for `begin`. */
  static prepare(label: string): Process {
    return RoomMember.start<Report>(WORKER, {}, label);
  }

  static async spawn(config: FanoutWorkerConfig, process: Process): Promise<RoomMember> {
    const member = new RoomMember(config, process);
    process.send({ type: 'begin', config } satisfies Command);
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
