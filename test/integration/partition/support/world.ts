import { topologiesOf, World as AnyWorld } from '../../support/world.js';
import { type Consumer, startConsumer, type StartOptions } from './consumer.js';
import type { PartitionClient, PartitionHandlers, RedisStreamsEngine, StreamRegistration } from './engine.js';

export { BOTH } from '../../support/world.js';

export type Registration = Omit<StreamRegistration, 'name'>;

export class World extends AnyWorld {
  private sender: RedisStreamsEngine | undefined;

  /** What streams are spread over here, unless a test says otherwise: one part per master. */
  get shards(): number { return this.kind === 'cluster' ? 3 : 1; }

  name(): string { return this.fresh('payments'); }

  /** Registers a stream under a fresh name, spread over all masters as far as its partitions go. */
  async stream(registration: Registration | number): Promise<string> {
    const name = this.name();
    const given = typeof registration === 'number' ? { partitions: registration } : registration;
    await this.client.register({ name, shards: Math.min(this.shards, given.partitions), ...given });
    return name;
  }

  /** For sending, looking and changing: of an engine that consumes nothing. */
  get client(): PartitionClient {
    return (this.sender ??= this.engine()).partitions();
  }

  /** An engine with one consumer of `stream`, started; its group is `group` unless told otherwise. */
  consumer(stream: string, handlers: PartitionHandlers | PartitionHandlers['message'], options: StartOptions = {}): Promise<Consumer> {
    return startConsumer((more) => this.engine(more), stream, handlers, options);
  }

  override async clean(): Promise<void> {
    this.sender = undefined;
    await super.clean();
  }
}

export const onTopologies = topologiesOf((topology) => new World(topology));
