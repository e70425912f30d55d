import type { RedisStreamsEngine } from '../engine.js';
import { ClosedError, InvalidOptionsError, type OptionProblem, PatternMismatchError } from '../errors/index.js';
import { fullName } from '../keys/partition-keys.js';
import { eventName, nameOfRoute, requestName, RESPONDERS } from '../keys/transport-keys.js';
import type { PatternOptions } from '../options-transport.js';
import type { PartitionConsumer } from '../partition/consumer.js';
import type { PartitionContext } from '../partition/types.js';
import type { QueueConsumer } from '../queue/consumer.js';
import type { QueueContext } from '../queue/handler-types.js';
import { withDeadline } from '../redis/deadline.js';
import { Broadcasts } from './broadcasts.js';
import { Cancels } from './cancels.js';
import { Codec, type Encoded } from './codec.js';
import { EventRoute } from './event-route.js';
import { patternOptions, type ResolvedTransport } from './options.js';
import { ReplyWriter } from './reply-writer.js';
import { RequestRoute, type RequestHost } from './request-route.js';
import type { RouteHost } from './route.js';
import { Router } from './router.js';
import type { Handlers } from './server.js';
import { ServerClock } from './server-clock.js';
import { LocalSettledHandlers, StoredSettledHandlers } from './settled-handlers.js';

/**
 * A reply is stored before its request is settled, and nobody waits for that: it shares a call with others, and leaves this process and Redis to the
 * next request. Should the process die meanwhile, those answered so lately are run again elsewhere; their replies are known by their numbers.
 */
const SETTLE_WITHIN_MS = 5;

/** What is served on an engine, by connection and namespace: two servers would both want to take up what nobody handles there, and requests. */
const SERVED = new WeakMap<RedisStreamsEngine, Set<string>>();

/**
 * Names of servers in the groups that are no service's, `routers` and `responders`, by process: with an exclusive name of the process's, two would take each
 * other for a second process of it. After a restart they are the same again, and each replaces its own.
 */
const ROLES = new Set<string>();

/** What Nest's Server does for it. */
export interface ServerHooks {
  hooked: RouteHost['hooked'];
  deserialize?: RouteHost['deserialize'];
  /** Of a whole reply, with the user's serializer. */
  serialize?(reply: unknown): Promise<unknown>;
}

/** From `listen` to `close`: a consumer for each pattern. */
export class ServerRun {
  private readonly consumers: Array<QueueConsumer | PartitionConsumer> = [];
  private readonly host: RequestHost;
  private readonly clock: ServerClock;
  private readonly codec: Codec;
  private readonly writer: ReplyWriter;
  private readonly cancels: Cancels;
  private readonly router: Router;
  private broadcasts: Broadcasts | undefined;
  private starting: Promise<void> | undefined;
  private stopped = false;
  private leave = (): void => undefined;
  private role = '';

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly transport: ResolvedTransport,
    private readonly handlers: Handlers,
    hooks: ServerHooks,
  ) {
    const { connection, namespace, maxBytes } = transport;
    const { redis } = engine.partsOf(connection);
    const codec = (this.codec = new Codec(transport));
    const clock = (this.clock = new ServerClock(redis));
    const writer = (this.writer = new ReplyWriter(redis, engine.timings.commandTimeoutMs * 2));
    const cancels = (this.cancels = new Cancels(redis, namespace));
    this.router = new Router(engine, transport, clock, () => this.role);
    const { hooked, deserialize, serialize } = hooks;
    const encodeReply = serialize
      ? (reply: unknown): Promise<Encoded> => serialize(reply).then((packet) => codec.encodePacket(packet))
      : (reply: { readonly response?: unknown; readonly err?: unknown }): Encoded => codec.encode('err' in reply ? reply.err : reply.response);
    this.host = { codec, clock, events: engine.events, maxBytes, deserialize, hooked, writer, cancels, encodeReply };
  }

  /** @throws InvalidOptionsError | PatternMismatchError | QueueMismatchError | StreamMismatchError | ConnectionError */
  start(): Promise<void> {
    this.starting = this.begin();
    return this.starting;
  }

  async stop(): Promise<void> {
    // What is being started must be there to be stopped: a group of this instance would otherwise be made behind its removal.
    await withDeadline(Promise.resolve(this.starting).catch(() => undefined), this.engine.timings.drainMs, () => new Error('it did not start in time')).catch(() => undefined);
    this.stopped = true;
    await Promise.all(this.consumers.map((consumer) => this.engine.release(consumer)));
    await this.broadcasts?.stop();
    this.cancels.stop();
    this.clock.stop();
    await this.writer.flush();
    this.leave();
  }

  private async begin(): Promise<void> {
    const routes = this.plan();
    this.enter();
    await this.codec.load();
    this.mustGoOn();
    await this.clock.start();
    if (this.stopped) this.clock.stop();
    this.mustGoOn();
    if (this.handlers.requests.size > 0) this.cancels.listen();
    const started = await Promise.allSettled([...routes.map((start) => start()), this.keep(this.router.start())]);
    for (const result of started) if (result.status === 'rejected') throw result.reason;
  }

  /** A stop that did not wait any longer has ended everything that was there by then. */
  private mustGoOn(): void {
    if (this.stopped) throw new ClosedError('the server');
  }

  private enter(): void {
    const { engine, transport: { connection, namespace, service = 'requests' } } = this;
    const served = SERVED.get(engine) ?? new Set<string>();
    const name = `${connection} ${namespace}`;
    if (served.has(name)) {
      throw new InvalidOptionsError([{ path: 'transport.namespace', message: `the engine has a server of this namespace already: give it all handlers, or this one a namespace or an engine of its own (got ${namespace})` }]);
    }
    SERVED.set(engine, served.add(name));
    const taken = (role: string): string => `${engine.consumerName} ${role}`;
    this.role = service;
    for (let n = 2; ROLES.has(taken(this.role)); n++) this.role = `${service}.${n}`;
    ROLES.add(taken(this.role));
    this.leave = () => {
      served.delete(name);
      ROLES.delete(taken(this.role));
    };
  }

  /** What is to be started; everything that is wrong is said at once, before anything is. */
  private plan(): Array<() => Promise<void>> {
    const problems: OptionProblem[] = [];
    const starts: Array<() => Promise<void>> = [];
    const named = (pattern: string): string => {
      const name = nameOfRoute(pattern);
      if (name === undefined) problems.push({ path: `pattern ${pattern}`, message: 'is empty or too long to name a stream (190 characters, and two more for each that is none of A-Z a-z 0-9 . -): choose another one' });
      return name ?? '';
    };
    for (const [pattern, handlers] of this.handlers.events) {
      const name = named(pattern);
      const options = handlers.map((handler) => patternOptions(handler.extras, `event ${pattern}`, true));
      problems.push(...options.flatMap((each) => each.problems));
      // They would lie in two places, of which senders know one.
      if (options.some(({ value }) => value.broadcast) && options.some(({ value }) => value.partitions !== undefined)) {
        problems.push({ path: `event ${pattern}`, message: 'has handlers with `partitions` and others with `broadcast`: choose another pattern for one of them' });
      }
      for (const broadcast of [false, true]) {
        const those = handlers.filter((_, i) => (options[i]!.value.broadcast ?? false) === broadcast);
        if (those.length === 0) continue;
        const given = options.map(({ value }) => value).filter((value) => (value.broadcast ?? false) === broadcast);
        const tuning: PatternOptions = Object.assign({}, ...given) as PatternOptions;
        if (new Set(given.map(({ partitions }) => partitions)).size > 1) problems.push({ path: `event ${pattern}`, message: 'has handlers with different `partitions`; say the same for each' });
        starts.push(() => this.startEvents(pattern, name, those, tuning));
      }
    }
    for (const [pattern, handler] of this.handlers.requests) {
      const name = named(pattern);
      const { value, problems: wrong } = patternOptions(handler.extras, `request ${pattern}`, false);
      problems.push(...wrong);
      starts.push(() => this.startRequests(pattern, name, handler, value));
    }
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    return starts;
  }

  private async startEvents(pattern: string, name: string, handlers: Handlers['events'] extends ReadonlyMap<string, infer H> ? H : never, { partitions, broadcast, ...own }: PatternOptions): Promise<void> {
    const { engine, transport } = this;
    const { namespace, connection, shards, service = '' } = transport;
    const stream = eventName(name);
    const full = fullName(namespace, stream);
    const { queueRegistry, registry } = engine.partsOf(connection);
    const tuning = { ...transport.events, ...own };
    const there = { ordered: 'in order, in a partitioned stream', queued: 'in a queue' };
    if (partitions !== undefined) {
      const refuse = async (): Promise<void> => {
        if (await queueRegistry.find(full)) throw new PatternMismatchError(pattern, there.ordered, there.queued);
      };
      await refuse();
      await engine.partitions(connection).register({ name: stream, namespace, partitions, ...(shards !== undefined && { shards: Math.min(shards, partitions) }) });
      await refuse(); // one that starts at the same moment has found nothing either
      const route = new EventRoute(pattern, this.host, handlers, new LocalSettledHandlers(), tuning.retry?.maxAttempts ?? engine.timings.partition.maxAttempts);
      const { prefetch: _, ...partitionTuning } = tuning;
      const handler = { message: (data: unknown, context: PartitionContext) => route.message(data, context) };
      await this.keep(engine.runPartitionConsumer({ stream, namespace, connection, group: service, ...partitionTuning }, handler));
      return;
    }
    const refuse = async (): Promise<void> => {
      if (await registry.find(full)) throw new PatternMismatchError(pattern, there.queued, there.ordered);
    };
    await refuse();
    await engine.queues(connection).register({ name: stream, namespace, ...(shards !== undefined && { shards }) });
    await refuse();
    const queue = (await queueRegistry.find(full))!;
    const route = new EventRoute(pattern, this.host, handlers, new StoredSettledHandlers(engine.partsOf(connection).redis, queue), tuning.retry?.maxAttempts ?? engine.timings.queue.maxAttempts);
    const handler = { message: (data: unknown, context: QueueContext) => route.message(data, context) };
    const group = broadcast ? this.broadcasting({ queue: stream, namespace }) : service;
    await this.keep(engine.runQueueConsumer({ queue: stream, namespace, connection, group, ...tuning, ...(broadcast && { startFrom: 'latest' as const }) }, handler));
  }

  private async startRequests(pattern: string, name: string, handler: Handlers['requests'] extends ReadonlyMap<string, infer H> ? H : never, own: PatternOptions): Promise<void> {
    const { engine, transport } = this;
    const { namespace, connection, shards } = transport;
    const queue = requestName(name);
    await engine.queues(connection).register({ name: queue, namespace, ...(shards !== undefined && { shards }) });
    const tuning = { ...transport.requests, ...(own.concurrency !== undefined && { prefetch: own.concurrency }), ...own };
    const route = new RequestRoute(pattern, this.host, handler, tuning.retry?.maxAttempts ?? engine.timings.queue.maxAttempts);
    await this.keep(engine.runQueueConsumer({ queue, namespace, connection, group: RESPONDERS, ack: 'auto', ...tuning }, { message: (data, context) => route.message(data, context), settleWithinMs: SETTLE_WITHIN_MS, role: this.role }));
  }

  /** One that has joined only after the stop had waited long enough leaves again: an engine of the module's would run it on. */
  private async keep(joining: Promise<QueueConsumer | PartitionConsumer>): Promise<void> {
    const consumer = await joining;
    if (this.stopped) await this.engine.release(consumer);
    else this.consumers.push(consumer);
  }

  private broadcasting(ref: { readonly queue: string; readonly namespace: string }): string {
    const { engine, transport } = this;
    this.broadcasts ??= new Broadcasts(engine, transport.connection, transport.service ?? '', engine.timings.session.ttlMs * 2, (error, during) => engine.events.emit('error', { error, context: { connection: transport.connection, during } }));
    this.broadcasts.add(ref);
    return this.broadcasts.group;
  }
}
