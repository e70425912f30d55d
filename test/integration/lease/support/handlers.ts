import { Overlaps } from '../../support/handlers.js';
import type { StreamLease } from './engine.js';

export { type Gate, gate, untilAborted } from '../../support/handlers.js';

/** Keeps every run of a stream, in order, and how many run at this moment. */
export class Runs extends Overlaps {
  readonly leases: StreamLease[] = [];

  handler(body: (lease: StreamLease, n: number) => unknown = () => undefined): (lease: StreamLease) => Promise<void> {
    return async (lease) => {
      this.leases.push(lease);
      await this.during(lease.stream, () => body(lease, this.of(lease.stream).length));
    };
  }

  of(stream: string): StreamLease[] { return this.leases.filter((lease) => lease.stream === stream); }

  get streams(): string[] { return [...new Set(this.leases.map(({ stream }) => stream))]; }
}
