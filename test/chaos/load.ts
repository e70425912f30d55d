import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../support/seed.js';
import type { Work } from './messages.js';
import type { World } from './world.js';

export interface LoadOptions {
  readonly perSecond: number;
  readonly rng: Rng;
  work(rng: Rng): Work;
  /** Default: `announce` of the world. */
  announce?(stream: string, work: Work): Promise<unknown>;
  readonly prefix?: string;
}

/** Announces streams at a steady rate, each once under a name of its own. */
export class Load {
  count = 0;
  readonly failures: string[] = [];
  private running = true;
  private readonly open = new Set<Promise<unknown>>();
  private readonly loop: Promise<void>;

  constructor(private readonly world: World, private readonly options: LoadOptions) {
    this.loop = this.run();
    // Also when the scenario fails half-way: else it would announce for ever.
    world.onEnd(() => void (this.running = false));
  }

  /** Resolves when every announcement has been answered or refused. */
  async stop(): Promise<void> {
    this.running = false;
    await this.loop;
    await Promise.all([...this.open]);
  }

  private async run(): Promise<void> {
    const { perSecond, rng, work, prefix = 's' } = this.options;
    const startedAt = performance.now();
    while (this.running) {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond;
      while (this.count < due) this.announce(`${prefix}-${this.count++}`, work(rng));
      await sleep(10);
    }
  }

  private announce(stream: string, work: Work): void {
    const announce = this.options.announce ?? ((name: string, todo: Work) => this.world.announce(name, todo));
    const sent = announce(stream, work).catch((error: unknown) => this.failures.push(String(error))).finally(() => this.open.delete(sent));
    this.open.add(sent);
  }
}
