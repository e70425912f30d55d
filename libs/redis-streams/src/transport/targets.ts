import type { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError } from '../errors/index.js';
import type { Headers } from '../handling/headers.js';
import type { RawJson } from '../handling/raw-json.js';
import { fullName } from '../keys/partition-keys.js';
import { eventName, nameOfRoute } from '../keys/transport-keys.js';
import type { PartitionProducer } from '../partition/producer.js';
import type { QueueProducer } from '../queue/producer.js';
import type { ResolvedTransport } from './options.js';

/** An event on its way. */
export interface OutgoingEvent {
  readonly data: RawJson;
  readonly headers: Headers | undefined;
  readonly key: string | undefined;
  readonly id: string | undefined;
  readonly delayMs: number | undefined;
}

/** Where the events of a pattern go. */
export interface Target {
  send(event: OutgoingEvent): Promise<unknown>;
}

class QueueTarget implements Target {
  constructor(private readonly producer: QueueProducer) {}

  send({ data, headers, key, id, delayMs }: OutgoingEvent): Promise<unknown> {
    if (headers === undefined && key === undefined && id === undefined && delayMs === undefined) return this.producer.send(data);
    return this.producer.send(data, { ...(headers && { headers }), ...(key !== undefined && { key }), ...(id !== undefined && { id }), ...(delayMs !== undefined && { delayMs }) });
  }
}

class StreamTarget implements Target {
  constructor(
    private readonly producer: PartitionProducer,
    private readonly pattern: string,
  ) {}

  send({ data, headers, key, id, delayMs }: OutgoingEvent): Promise<unknown> {
    if (id !== undefined || delayMs !== undefined) {
      const problems = [{ path: `event ${this.pattern}`, message: 'is handled in order, in a partitioned stream: it takes neither `id` nor `delayMs`' }];
      if (!id?.startsWith('unrouted-')) return Promise.reject(new InvalidOptionsError(problems));
    }
    return this.producer.send({ data, ...(headers && { headers }), ...(key !== undefined && { key }) });
  }
}

/** Where events go, by pattern: as somebody has registered it. */
export class Targets {
  private readonly known = new Map<string, Target>();

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly transport: ResolvedTransport,
  ) {}

  /** What is known without asking. */
  get(pattern: string): Target | undefined {
    return this.known.get(pattern);
  }

  /** Undefined: nobody has ever handled it. @throws InvalidOptionsError: it cannot be a name */
  async find(pattern: string): Promise<Target | undefined> {
    const known = this.known.get(pattern);
    if (known) return known;
    const name = nameOfRoute(pattern);
    if (name === undefined) throw new InvalidOptionsError([{ path: `pattern ${pattern}`, message: 'is empty or too long to name a stream: choose another one' }]);
    const { engine, transport: { namespace, connection, producer } } = this;
    const stream = eventName(name);
    const full = fullName(namespace, stream);
    const { registry, queueRegistry } = engine.partsOf(connection);
    const [ordered, queued] = await Promise.all([registry.find(full), queueRegistry.find(full)]);
    let target: Target | undefined;
    if (ordered) target = new StreamTarget(engine.partitions(connection).producer({ stream, namespace }), pattern);
    else if (queued) target = new QueueTarget(engine.queues(connection).queue({ queue: stream, namespace }, producer));
    if (target) this.known.set(pattern, target);
    return target;
  }
}
