import { topologiesOf, World as AnyWorld } from '../../support/world.js';
import { type Consumer, startConsumer, type StartOptions } from './consumer.js';
import type { LeaseHandlers } from './engine.js';

export { BOTH } from '../../support/world.js';

export class World extends AnyWorld {
  service(): string { return this.fresh('orders'); }

  /** An engine with one consumer, started. */
  consumer(service: string, handlers: LeaseHandlers | LeaseHandlers['assigned'], options: StartOptions = {}): Promise<Consumer> {
    return startConsumer((more) => this.engine(more), service, handlers, options);
  }
}

export const onTopologies = topologiesOf((topology) => new World(topology));
