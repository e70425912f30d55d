import { Injectable } from '@nestjs/common';
import { RedisStreamsEvents } from '../observability/events.js';

/** The shape `@nestjs/terminus` wants of an indicator's result, without needing it. */
export type RedisStreamsHealthResult = Readonly<
  Record<string, { readonly status: 'up' | 'down'; readonly problems?: readonly string[] }>
>;

/**
 * What is wrong now: connections that had an error and have not become ready since, sessions lost and not joined
 * again (a session of rooms or of a queue is one of a shard of it), consumers that ended by themselves. Reads no Redis, so it answers at once during an outage.
 * With terminus: `health.check([() => redisStreamsHealth.check()])`.
 */
@Injectable()
export class RedisStreamsHealth {
  private readonly problems = new Map<string, string>();

  constructor(events: RedisStreamsEvents) {
    const note = (key: string, text: string): unknown => this.problems.set(key, text);
    events.on('connection.error', ({ connection, role, error }) => note(`c ${connection} ${role}`, `connection "${connection}" (${role}): ${error.message}`));
    events.on('connection.replaced', ({ connection, role, why }) => note(`c ${connection} ${role}`, `connection "${connection}" (${role}): ${why}`));
    events.on('connection.ready', ({ connection, role }) => void this.problems.delete(`c ${connection} ${role}`));
    events.on('session.lost', ({ scope, why }) => note(`s ${scope}`, `session of ${scope} lost: ${why}`));
    events.on('session.joined', ({ scope }) => void this.problems.delete(`s ${scope}`));
    events.on('session.left', ({ scope }) => void this.problems.delete(`s ${scope}`));
    events.on('lease.terminated', ({ service, reason }) => {
      if (reason !== 'closed') note(`t ${service}`, `consumer of "${service}" ended: ${reason}`);
    });
    events.on('queue.terminated', ({ queue, group, reason }) => {
      if (reason !== 'closed') note(`q ${queue}#${group}`, `consumer of queue "${queue}" in group "${group}" ended: ${reason}`);
    });
    events.on('partition.terminated', ({ stream, group, reason }) => {
      if (reason !== 'closed') note(`t ${stream}#${group}`, `consumer of "${stream}" in group "${group}" ended: ${reason}`);
    });
  }

  check(key = 'redisStreams'): RedisStreamsHealthResult {
    if (this.problems.size === 0) return { [key]: { status: 'up' } };
    return { [key]: { status: 'down', problems: [...this.problems.values()] } };
  }
}
