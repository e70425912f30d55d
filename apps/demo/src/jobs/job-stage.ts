import { Scene, type Setting, type Watched } from '../supervisor/scene.js';
import { say } from '../ui/lines.js';
import type { Tally } from './tally.js';

/** What the queue scenario plays on: processors to start and hurt, and the time clock to watch. */
export class JobStage extends Scene {
  protected readonly watched: Watched;
  killed = 0;

  constructor(setting: Setting, readonly tally: Tally, private readonly clockUrl: string) {
    super(setting);
    this.watched = tally;
  }

  async startProcessor(name: string): Promise<void> {
    this.states.set(name, 'starting');
    await this.cast.start('processor', name, this.config(name));
    this.states.set(name, 'running');
  }

  async startSender(): Promise<void> {
    await this.cast.start('sender', 'sender', this.config());
  }

  kill(name: string): void {
    this.killed++;
    say('demo', 'fault', name, `SIGKILL after ${this.doneBy(name).toLocaleString('en')} jobs`);
    this.signalKill(name);
  }

  doneBy(name: string): number {
    return this.tally.by.get(name) ?? 0;
  }

  protected override config(name?: string) {
    return { ...super.config(name), bankUrl: this.clockUrl };
  }
}
