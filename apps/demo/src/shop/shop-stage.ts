import { Scene, type Setting, type Watched } from '../supervisor/scene.js';
import { say } from '../ui/lines.js';
import type { Audit } from './audit.js';
import type { ServiceName } from './shop-order.js';
import type { Shoppers } from './shoppers.js';

/** What the transport scenario plays on: APIs and microservices to start, hurt and stop, and the register to watch. */
export class ShopStage extends Scene {
  readonly apis = new Map<string, string>();
  readonly killed = new Set<string>();
  protected readonly watched: Watched;

  constructor(setting: Setting, readonly audit: Audit, readonly shoppers: Shoppers, private readonly registerUrl: string) {
    super(setting);
    this.watched = audit;
  }

  async startNamedApi(name: string): Promise<void> {
    this.states.set(name, 'starting');
    const { url = '' } = await (await this.cast.start('api', name, { ...this.config(name), port: 0 })).ready;
    this.states.set(name, 'running');
    this.apis.set(name, url);
  }

  async startService(name: string, duty: ServiceName): Promise<void> {
    this.states.set(name, 'starting');
    await this.cast.start('microservice', name, { ...this.config(name), duty, bankUrl: this.registerUrl });
    this.states.set(name, 'running');
  }

  kill(name: string): void {
    this.killed.add(name);
    say('demo', 'fault', name, `SIGKILL after ${this.handledBy(name)} events`);
    this.signalKill(name);
  }

  /** Asks it to stop, as Kubernetes would. @returns whether it did so by itself, with exit code 0, and how long that took */
  async stopService(name: string): Promise<{ readonly clean: boolean; readonly ms: number }> {
    say('demo', 'stopping', name, `SIGTERM after ${this.handledBy(name)} events`);
    const at = Date.now();
    const { code, signal } = await this.cast.get(name).stop();
    this.states.set(name, 'stopped');
    return { clean: signal === null && code === 0, ms: Date.now() - at };
  }

  handledBy(name: string): number {
    return this.audit.by.get(name) ?? 0;
  }
}
