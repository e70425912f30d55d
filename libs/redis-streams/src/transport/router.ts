import type { RedisStreamsEngine } from '../engine.js';
import type { Headers } from '../handling/headers.js';
import { RawJson } from '../handling/raw-json.js';
import { ROUTERS, UNROUTED } from '../keys/transport-keys.js';
import type { QueueConsumer } from '../queue/consumer.js';
import type { QueueContext } from '../queue/handler-types.js';
import { DeadLetterException, RetryException } from './exceptions.js';
import { HEADER } from './headers.js';
import type { ResolvedTransport } from './options.js';
import type { ServerClock } from './server-clock.js';
import { Targets } from './targets.js';

/** A service may be starting: looked for again after so long, and so often, before the event is a dead letter. */
const AGAIN_MS = 1_000;
const ATTEMPTS = 10;

/**
 * Takes up the events whose pattern nobody handled as far as their sender knew. By now somebody may; otherwise they become dead
 * letters of the queue `unrouted`, and a replay from there looks again. Every server runs one, in one group.
 */
export class Router {
  private readonly targets: Targets;

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly transport: ResolvedTransport,
    private readonly clock: ServerClock,
    private readonly role: () => string,
  ) {
    this.targets = new Targets(engine, transport);
  }

  /** @returns what reads for it, joined */
  async start(): Promise<QueueConsumer> {
    const { engine, transport: { namespace, connection } } = this;
    await engine.queues(connection).register({ name: UNROUTED, namespace });
    return engine.runQueueConsumer(
      { queue: UNROUTED, namespace, connection, group: ROUTERS, ack: 'auto', retry: { maxAttempts: ATTEMPTS, initialMs: AGAIN_MS, factor: 1, jitter: 0 } },
      { message: (data, context) => this.route(data, context), role: this.role() },
    );
  }

  private async route(data: unknown, context: QueueContext): Promise<void> {
    const { [HEADER.pattern]: pattern, [HEADER.key]: key, ...headers } = context.headers;
    if (pattern === undefined) throw new DeadLetterException('no-pattern', { message: `it has no header ${HEADER.pattern}` });
    const { [HEADER.ttl]: ttl } = context.headers;
    const ageMs = Math.round(this.clock.now() - Number.parseInt(context.id, 10));
    const leftMs = Number(ttl) - ageMs; // of what has none, or one that is no number: NaN
    if (leftMs <= 0) return void this.engine.events.emit('transport.expired', { pattern, id: context.id, ageMs });
    const target = await this.targets.find(pattern);
    if (!target) {
      if (context.attempt < ATTEMPTS) throw new RetryException(`nobody handles the event ${pattern} yet`, { delayMs: AGAIN_MS });
      throw new DeadLetterException('unknown-pattern', { message: `nobody handles the event ${pattern}` });
    }
    // Under its own id here, so that a router that dies in between does not send it twice.
    const sent = Number.isNaN(leftMs) ? headers : { ...headers, [HEADER.ttl]: String(Math.ceil(leftMs)) };
    await target.send({ data: new RawJson(JSON.stringify(data)), headers: sent as Headers, key, id: context.messageId ?? `unrouted-${context.shard}-${context.id}`, delayMs: undefined });
  }
}
