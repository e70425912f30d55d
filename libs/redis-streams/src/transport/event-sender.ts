import type { RedisStreamsEngine } from '../engine.js';
import { ConnectionError } from '../errors/index.js';
import { isTransient } from '../kernel/server-errors.js';
import { UNROUTED } from '../keys/transport-keys.js';
import { HEADER } from './headers.js';
import type { ResolvedTransport } from './options.js';
import { type OutgoingEvent, Targets } from './targets.js';

/** So long it is taken as known that nobody handles a pattern. */
const UNKNOWN_MS = 1_000;

/** Events on their way to whoever handles their pattern. */
export class EventSender {
  private readonly targets: Targets;
  /** Events that wait for a pattern to be looked up go first, and so do those that come while they are let go. */
  private readonly lookups = new Map<string, Promise<unknown>>();
  private readonly unknownUntil = new Map<string, number>();
  /** What is not with a producer yet. */
  private readonly waiting = new Set<Promise<unknown>>();
  private registered: Promise<void> | undefined;

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly transport: ResolvedTransport,
  ) {
    this.targets = new Targets(engine, transport);
  }

  /** Resolves when Redis has it. */
  send(pattern: string, event: OutgoingEvent): Promise<unknown> {
    const target = this.targets.get(pattern);
    if (target && !this.lookups.has(pattern)) return target.send(event);
    if ((this.unknownUntil.get(pattern) ?? 0) > performance.now()) return this.noted(this.keep(pattern, event));
    return this.noted(this.lookup(pattern).then(() => {
      const found = this.targets.get(pattern);
      return found ? found.send(event) : this.keep(pattern, event);
    }));
  }

  /** Resolves when everything sent so far is stored, or refused. What producers have is theirs to send. */
  async flush(): Promise<void> {
    await Promise.allSettled(this.waiting);
  }

  private noted<T>(sent: Promise<T>): Promise<T> {
    const gone = (): void => void this.waiting.delete(sent);
    this.waiting.add(sent);
    sent.then(gone, gone);
    return sent;
  }

  private lookup(pattern: string): Promise<unknown> {
    let lookup = this.lookups.get(pattern);
    if (!lookup) {
      lookup = this.targets.find(pattern).catch((error: unknown) => {
        throw isTransient(error) ? new ConnectionError(`the event ${pattern} was not sent: Redis could not be asked who handles it (${(error as Error).message}); is it running, and are the connection options right?`, error) : error;
      }).then((found) => {
        if (!found) this.unknown(pattern);
      });
      const over = (): void => void setImmediate(() => this.lookups.delete(pattern));
      lookup.then(over, over);
      this.lookups.set(pattern, lookup);
    }
    return lookup;
  }

  private unknown(pattern: string): void {
    const now = performance.now();
    // Oldest first. There may be a pattern for everything in the world.
    for (const [oldest, until] of this.unknownUntil) {
      if (until > now) break;
      this.unknownUntil.delete(oldest);
    }
    this.unknownUntil.set(pattern, now + UNKNOWN_MS);
  }

  /** Nobody handles it as far as is known here: a server looks again. */
  private async keep(pattern: string, { data, headers, key, id, delayMs }: OutgoingEvent): Promise<unknown> {
    const { engine, transport: { namespace, connection, producer } } = this;
    engine.events.emit('transport.unrouted', { pattern });
    this.registered ??= engine.queues(connection).register({ name: UNROUTED, namespace }).catch((error: unknown) => {
      this.registered = undefined;
      throw error;
    });
    await this.registered;
    return engine.queues(connection).queue({ queue: UNROUTED, namespace }, producer).send(data, {
      headers: { ...headers, [HEADER.pattern]: pattern, ...(key !== undefined && { [HEADER.key]: key }) },
      ...(id !== undefined && { id }), ...(delayMs !== undefined && { delayMs }),
    });
  }
}
