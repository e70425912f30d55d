import { waitUntil } from '../../../support/wait.js';
import { topologiesOf, World as AnyWorld } from '../../support/world.js';
import { Witness } from '../../support/witness.js';
import type { DeadLetters, DeadLetterSource, FanoutOptions, RedisStreamsOptions } from './engine.js';

export { BOTH } from '../../support/world.js';

/** An engine that remembers what happened, with everything that this suite asks of it. */
export class Node extends Witness {
  get letters(): DeadLetters { return this.engine.deadLetters(); }
}

export class World extends AnyWorld {
  /** What is spread is spread over all masters. */
  get shards(): number { return this.kind === 'cluster' ? 3 : 1; }

  node(options: RedisStreamsOptions = {}): Node {
    return new Node(this.engine(options));
  }

  /** Rooms that only this test has. */
  rooms(more: FanoutOptions = {}): FanoutOptions {
    return { namespace: this.fresh('ns'), shards: this.shards, maxRedeliveries: 1, ackTimeoutMs: 2_000, ...more };
  }

  async stream(node: Node, partitions = 3, retention: object = {}): Promise<string> {
    const name = this.fresh('payments');
    await node.engine.partitions().register({ name, partitions, shards: Math.min(partitions, this.shards), retention });
    return name;
  }
}

/** Waits until a source has so many letters. */
export async function lettersOf(node: Node, source: DeadLetterSource, count: number, timeoutMs = 15_000): Promise<void> {
  await waitUntil(async () => (await node.letters.count(source)) === count, { what: `${count} dead letters of ${JSON.stringify(source)}`, timeoutMs });
}

export const onTopologies = topologiesOf((topology) => new World(topology));
