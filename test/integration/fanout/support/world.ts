import type { RedisStreamsOptions } from '../../support/engine.js';
import { topologiesOf, World as AnyWorld } from '../../support/world.js';
import type { FanoutOptions } from './engine.js';
import { Peer } from './peer.js';

export { BOTH } from '../../support/world.js';

export class World extends AnyWorld {
  /** Over which rooms are spread here unless a test says otherwise. */
  get shards(): number { return this.kind === 'cluster' ? 3 : 1; }

  room(): string { return this.fresh('room'); }

  /** Rooms that only this test has: whatever it changes, no other test's members meet it. */
  namespace(): string { return this.fresh('ns'); }

  /** An engine that is not started: rooms need none but for handlers that were added. */
  peer(fanout: FanoutOptions = {}, more: RedisStreamsOptions = {}): Peer {
    return new Peer(this.engine({ fanout: { shards: this.shards, ...fanout }, ...more }));
  }

  peers(count: number, fanout?: FanoutOptions, more?: RedisStreamsOptions): Peer[] {
    return Array.from({ length: count }, () => this.peer(fanout, more));
  }

  /** Every key of one namespace. */
  async keysOf(namespace: string): Promise<string[]> {
    return (await this.allKeys()).filter((key) => key.startsWith(`{fanout:${namespace}:`));
  }
}

export const onTopologies = topologiesOf((topology) => new World(topology));
