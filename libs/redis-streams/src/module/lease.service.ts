import type { RedisStreamsEngine } from '../engine.js';
import type {
  Announcement, AnnounceOptions, AnnounceResult, LeaseStats, LeaseView, StreamInfo, StreamLease,
} from '../lease/types.js';

type LeaseClient = ReturnType<RedisStreamsEngine['leases']>;

/**
 * Announces streams and looks at leases, over one connection. Inject it by class for the default connection, with
 * `@InjectLeases('name')` for another. Works in any application, also one without handlers. Calls reach Redis from
 * `onApplicationBootstrap` on, until the module's `onApplicationShutdown`: also while handlers drain and listeners close.
 */
export class LeaseService {
  constructor(private readonly client: LeaseClient) {}

  /** Makes a data stream known to the consumers of `service`. Resolves when Redis has it. */
  announce(service: string, stream: string, info?: StreamInfo, options?: AnnounceOptions): Promise<AnnounceResult> {
    return this.client.announce(service, stream, info, options);
  }

  /** Like {@link announce} for many at once; results in the order given. */
  announceMany(service: string, announcements: Announcement[], options?: AnnounceOptions): Promise<AnnounceResult[]> {
    return this.client.announceMany(service, announcements, options);
  }

  /** Takes an expired stream over; the assigned handler then runs with it. @throws AlreadyClaimedError for the losers. */
  claim(service: string, stream: string): Promise<void> {
    return this.client.claim(service, stream);
  }

  /** Open leases of a service, with owner and age. */
  list(service: string, filter?: Parameters<LeaseClient['list']>[1]): Promise<LeaseView[]> {
    return this.client.list(service, filter);
  }

  /** Counts of a service, and its consumers: one atomic look. */
  stats(service: string): Promise<LeaseStats> {
    return this.client.stats(service);
  }

  /** What went to the dead-letter stream, and why. */
  deadLetters(service: string, page?: Parameters<LeaseClient['deadLetters']>[1]): ReturnType<LeaseClient['deadLetters']> {
    return this.client.deadLetters(service, page);
  }

  /** Leases this process holds now. */
  held(service: string): readonly StreamLease[] {
    return this.client.held(service);
  }
}
