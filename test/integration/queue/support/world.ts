import { topologiesOf, World as AnyWorld } from '../../support/world.js';
import type { QueueClient, QueueRegistration, RedisStreamsEngine } from './engine.js';

export { BOTH } from '../../support/world.js';

export class World extends AnyWorld {
  private sender: RedisStreamsEngine | undefined;

  /** What queues are spread over here, unless a test says otherwise: one shard per master. */
  get shards(): number { return this.kind === 'cluster' ? 3 : 1; }

  name(): string { return this.fresh('jobs'); }

  /** Registers a queue under a fresh name, spread over all masters. */
  async queue(registration: Omit<QueueRegistration, 'name'> = {}): Promise<string> {
    const name = this.name();
    await this.client.register({ name, shards: this.shards, ...registration });
    return name;
  }

  /** For registering, sending and looking: of an engine that consumes nothing. */
  get client(): QueueClient {
    return (this.sender ??= this.engine()).queues();
  }

  override async clean(): Promise<void> {
    this.sender = undefined;
    await super.clean();
  }
}

export const onTopologies = topologiesOf((topology) => new World(topology));
