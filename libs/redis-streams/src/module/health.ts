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
  /** Keys of problems by scope, the oldest first. One may have several: that of one queue over two connections, say. */
  private readonly lost = new Map<string, readonly string[]>();

  constructor(events: RedisStreamsEvents) {
    const note = (key: string, text: string): unknown => this.problems.set(key, text);
    events.on('connection.error', ({ connection, role, error }) => note(`c ${connection} ${role}`, `connection "${connection}" (${role}): ${error.message}`));
    events.on('connection.replaced', ({ connection, role, why }) => note(`c ${connection} ${role}`, `connection "${connection}" (${role}): ${why}`));
    events.on('connection.ready', ({ connection, role }) => void this.problems.delete(`c ${connection} ${role}`));
    events.on('session.lost', ({ scope, session, why }) => {
      const key = `s ${session} ${scope}`;
      note(key, `session of ${scope} lost: ${why}`);
      this.lost.set(scope, [...(this.lost.get(scope) ?? []), key]);
    });
    events.on('session.joined', ({ scope }) => this.settled(scope));
    // Not `session.left`: only who has a session says good-bye. A consumer that ends without one says no more than this.
    events.on('lease.terminated', ({ service, reason }) => {
      this.settled(`${service}-input`);
      if (reason !== 'closed') note(`t ${service}`, `consumer of "${service}" ended: ${reason}`);
    });
    events.on('queue.terminated', ({ queue, group, reason }) => {
      for (const scope of [...this.lost.keys()]) if (isShardOf(scope, queue, group)) this.settled(scope);
      if (reason !== 'closed') note(`q ${queue}#${group}`, `consumer of queue "${queue}" in group "${group}" ended: ${reason}`);
    });
    events.on('partition.terminated', ({ stream, group, reason }) => {
      this.settled(`${stream}#${group}`);
      if (reason !== 'closed') note(`t ${stream}#${group}`, `consumer of "${stream}" in group "${group}" ended: ${reason}`);
    });
  }

  check(key = 'redisStreams'): RedisStreamsHealthResult {
    if (this.problems.size === 0) return { [key]: { status: 'up' } };
    return { [key]: { status: 'down', problems: [...new Set(this.problems.values())] } };
  }

  /** One lost session of the scope is made good, or nobody's any more. */
  private settled(scope: string): void {
    const [first, ...others] = this.lost.get(scope) ?? [];
    if (first === undefined) return;
    this.problems.delete(first);
    if (others.length > 0) this.lost.set(scope, others);
    else this.lost.delete(scope);
  }
}

function isShardOf(scope: string, queue: string, group: string): boolean {
  const [before, after] = [`${queue}/`, `#${group}`];
  return scope.startsWith(before) && scope.endsWith(after) && /^\d+$/.test(scope.slice(before.length, -after.length));
}
