import { Injectable, Logger } from '@nestjs/common';
import { RedisStreamsEvents, type RedisStreamsEvent } from '../observability/events.js';
import { isDebugEnabled } from './nest-compat.js';
import { DEBUG_EVENTS, type EventLine, lineOf } from './event-lines.js';

const THROTTLE_MS = 10_000;
/** Rooms come and go by the thousand. */
const MAX_THROTTLED = 1_000;

/** Writes events to Nest's Logger, context `RedisStreams`. A handler's error comes with its stack, and that once. */
@Injectable()
export class EventLogger {
  private readonly logger = new Logger('RedisStreams');
  private readonly troubled = new Set<string>();
  private readonly throttled = new Map<string, { readonly since: number; skipped: number }>();
  private readonly stackShown = new WeakSet<Error>();
  /** Errors that came with an event of their own, whether or not its line was left out. */
  private readonly told = new WeakSet<Error>();

  constructor(events: RedisStreamsEvents) {
    events.onAny((event) => {
      if (DEBUG_EVENTS.has(event.type) && !isDebugEnabled()) return;
      // What a hook or handler threw arrives as an event of its own and as `error`: the second of the two says nothing new.
      if (event.type === 'error' && this.told.has(event.error)) return;
      this.write(this.afterTrouble(event) ?? lineOf(event));
    });
  }

  /** A connection's first `ready` is what everybody expects; one that ends an outage is news, and unmutes its errors. */
  private afterTrouble(event: RedisStreamsEvent): EventLine | undefined {
    if (event.type === 'reader.recovered') this.throttled.delete(`reader.error ${event.service}`);
    if (event.type !== 'connection.ready' && event.type !== 'connection.error' && event.type !== 'connection.replaced') return undefined;
    const key = `${event.connection} ${event.role}`;
    if (event.type !== 'connection.ready') {
      this.troubled.add(key);
      return undefined;
    }
    this.throttled.delete(`connection.error ${key}`);
    return this.troubled.delete(key) ? { ...lineOf(event), level: 'log' } : undefined;
  }

  private write({ level, text, error, throttle }: EventLine): void {
    if (error) this.told.add(error);
    const more = throttle === undefined ? '' : this.admit(throttle);
    if (more === undefined) return;
    const line = text + more;
    if (error === undefined) return this.logger[level](line);
    // Of one Error object the stack is shown once: the failure that leads to the dead-letter stream was a retry before.
    const stack = this.stackShown.has(error) ? undefined : error.stack;
    this.stackShown.add(error);
    if (level === 'error') this.logger.error(`${line}: ${error.message}`, stack ?? error.name);
    else this.logger[level](`${line}: ${stack ?? error.message}`);
  }

  /** @returns undefined for "not now", else what to add about the lines left out since the last. */
  private admit(key: string): string | undefined {
    const last = this.throttled.get(key);
    const now = Date.now();
    if (last !== undefined && now - last.since < THROTTLE_MS) {
      last.skipped += 1;
      return undefined;
    }
    this.throttled.set(key, { since: now, skipped: 0 });
    if (this.throttled.size > MAX_THROTTLED) this.forget(now);
    return last === undefined || last.skipped === 0 ? '' : ` (and ${last.skipped} more since)`;
  }

  /** What is over, or else the oldest half: a line too many is better than a map without end. */
  private forget(now: number): void {
    for (const [key, { since }] of this.throttled) if (now - since >= THROTTLE_MS) this.throttled.delete(key);
    if (this.throttled.size <= MAX_THROTTLED) return;
    for (const key of [...this.throttled.keys()].slice(0, MAX_THROTTLED / 2)) this.throttled.delete(key);
  }
}
