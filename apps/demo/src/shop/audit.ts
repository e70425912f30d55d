import { Redis } from 'ioredis';
import type { Watched } from '../supervisor/scene.js';
import { allRegisterKeys, REGISTER_KEYS } from './register.js';
import { type ServiceName, SERVICES } from './shop-order.js';

const LOOK_MS = 50;
const PAGE = 10_000;

/** Reads the register again and again. */
export class Audit implements Watched {
  /** By service and id of an order: the instances that handled it, in their order. */
  readonly handled = new Map<ServiceName, Map<string, string[]>>(SERVICES.map((service) => [service, new Map()]));
  /** How often each instance handled an event. */
  readonly by = new Map<string, number>();
  private readonly read = new Map<ServiceName, number>();
  private readonly redis: Redis;
  private readonly listeners = new Set<() => void>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();

  constructor(url: string) {
    this.redis = new Redis(url, { maxRetriesPerRequest: null });
    this.redis.on('error', () => undefined);
  }

  /** What earlier runs left on a shared server is not ours to judge. */
  async start(): Promise<void> {
    await this.redis.del(...allRegisterKeys());
    this.timer = setInterval(() => (this.looking = this.looking.then(() => this.look())), LOOK_MS);
  }

  onMarks(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Whether the service has handled this order's event. */
  has(service: ServiceName, id: string): boolean {
    return this.handled.get(service)!.has(id);
  }

  countOf(service: ServiceName): number {
    return this.handled.get(service)!.size;
  }

  /** Nothing is written any more. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    await this.look();
  }

  close(): void {
    clearInterval(this.timer);
    this.redis.disconnect();
  }

  private async look(): Promise<void> {
    for (const service of SERVICES) {
      const from = this.read.get(service) ?? 0;
      const lines = await this.redis.lrange(REGISTER_KEYS.handled(service), from, from + PAGE - 1);
      this.read.set(service, from + lines.length);
      for (const line of lines) {
        const [id = '', by = ''] = line.split(' ');
        const runs = this.handled.get(service)!;
        runs.set(id, [...(runs.get(id) ?? []), by]);
        this.by.set(by, (this.by.get(by) ?? 0) + 1);
      }
    }
    for (const listener of this.listeners) listener();
  }
}
