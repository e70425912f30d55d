import { AlreadyClaimedError, InvalidOptionsError } from '../errors/index.js';
import { encodeAnnouncement } from '../kernel/announcement.js';
import { checkServiceName, checkStreamName, describe } from '../keys/names.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { Announcer } from './announcer.js';
import type { LeaseConsumer } from './consumer.js';
import { listDeadLetters, listLeases, readStats, type LeaseDeadLetter, type LeaseDeadLetterQuery, type LeaseQuery } from './listing.js';
import type { Announcement, AnnounceOptions, AnnounceResult, LeaseStats, LeaseView, StreamInfo, StreamLease } from './types.js';

/** The lease capability of one connection: announce, look, claim. */
export class LeaseClient {
  private readonly announcers = new Map<string, Announcer>();
  private closed = false;

  constructor(
    private readonly redis: RedisConnection,
    private readonly events: RedisStreamsEvents,
    private readonly consumerOf: (service: string) => LeaseConsumer | undefined,
  ) {}

  /**
   * Announces a data stream: some consumer of `service` will own it until it is done.
   * Resolves when Redis has it. Batched with whatever else is being announced.
   * @throws InvalidOptionsError | BackpressureError | ClosedError | ConnectionError
   */
  async announce(service: string, stream: string, info: StreamInfo = {}, options: AnnounceOptions = {}): Promise<AnnounceResult> {
    const dedupe = options.dedupe ?? 'queued';
    const problems = [...checkServiceName(service, 'service'), ...checkStreamName(stream, 'stream')];
    if (typeof info !== 'object' || info === null || Array.isArray(info)) problems.push({ path: 'info', message: `must be a plain object (got ${describe(info)})` });
    if (!['queued', 'open', 'off'].includes(dedupe)) problems.push({ path: 'dedupe', message: `must be "queued", "open" or "off" (got ${describe(dedupe)})` });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const result = await this.announcer(service).add({ stream, payload: encodeAnnouncement(stream, info), dedupe });
    this.events.emit('lease.announced', { service, stream, id: result.id, duplicate: result.status === 'duplicate' });
    return result;
  }

  /** Announces many at once; results in the same order. Rejects with the first failure, others may have been announced. */
  announceMany(service: string, items: readonly Announcement[], options: AnnounceOptions = {}): Promise<AnnounceResult[]> {
    return Promise.all(items.map(({ stream, info }) => this.announce(service, stream, info, options)));
  }

  /**
   * Takes over a stream whose owner is dead; this process's assigned handler then runs with it. `maxLeases` does not
   * hold it back: look at `held` first where that matters.
   * @throws AlreadyClaimedError when another consumer was first, or the stream is finished or unknown.
   */
  async claim(service: string, stream: string): Promise<void> {
    const consumer = this.consumerOf(service);
    if (!consumer) throw new InvalidOptionsError([{ path: 'service', message: `this process has no assigned handler for "${service}", so it cannot own its streams` }]);
    if (consumer.held().some((lease) => lease.stream === stream)) throw new AlreadyClaimedError(stream, consumer.session);
    await consumer.claim(stream);
  }

  /** Leases of a service with owner and age. Announcements by plain XADD appear once a consumer has read them. */
  list(service: string, query: LeaseQuery = {}): Promise<LeaseView[]> {
    return listLeases(this.redis, service, query);
  }

  /** One atomic look: backlog, members and what each holds. */
  stats(service: string): Promise<LeaseStats> {
    return readStats(this.redis, service);
  }

  /** The dead-letter stream of a service, oldest first. */
  deadLetters(service: string, query: LeaseDeadLetterQuery = {}): Promise<LeaseDeadLetter[]> {
    return listDeadLetters(this.redis, service, query);
  }

  /** Streams this process owns now. */
  held(service: string): readonly StreamLease[] {
    return this.consumerOf(service)?.held() ?? [];
  }

  /** Sends what is still waiting. Called by the engine at the end. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.announcers.values()].map((announcer) => announcer.close()));
  }

  private announcer(service: string): Announcer {
    const announcer = this.announcers.get(service) ?? new Announcer(this.redis, service);
    if (this.closed) void announcer.close();
    this.announcers.set(service, announcer);
    return announcer;
  }
}
