import type { CustomTransportStrategy, IncomingRequest, MessageHandler } from '@nestjs/microservices';
import { Server } from '@nestjs/microservices';
import { RedisStreamsEngine } from '../engine.js';
import { ClosedError, InvalidOptionsError, toError } from '../errors/index.js';
import { describe } from '../keys/names.js';
import type { RedisStreamsEvent, RedisStreamsEventMap } from '../observability/events.js';
import type { RedisStreamsOptions } from '../options.js';
import { answered } from './answers.js';
import type { RedisStreamsContext } from './context.js';
import { resolveTransport, type ResolvedTransport } from './options.js';
import { routeOf } from './packet.js';
import { ServerRun } from './server-run.js';
import { statusOf, type RedisStreamsStatus } from './status.js';

/** Of handlers for this transport alone, where an application has several: `@EventPattern(pattern, REDIS_STREAMS_TRANSPORT)`. */
export const REDIS_STREAMS_TRANSPORT = Symbol.for('nestjs-redis-streams');

/** As the module's. `engine`: the module's own, when it is taken from there. */
export interface RedisStreamsServerOptions extends RedisStreamsOptions {
  readonly engine?: RedisStreamsEngine;
}

/** Handlers by pattern, as Nest gives them. */
export interface Handlers {
  readonly events: ReadonlyMap<string, readonly MessageHandler[]>;
  readonly requests: ReadonlyMap<string, MessageHandler>;
}

/**
 * The Nest transport strategy: `createMicroservice(AppModule, { strategy: new RedisStreamsServer({ connection, transport }) })`, or
 * `connectMicroservice({ strategy: app.get(RedisStreamsServer) })` where RedisStreamsModule is imported.
 */
export class RedisStreamsServer extends Server<Record<string, (event: never) => void>, RedisStreamsStatus> implements CustomTransportStrategy {
  override transportId = REDIS_STREAMS_TRANSPORT;
  /** Failures of event handlers are retries and dead letters here, with lines of their own: Nest need not report them. */
  override readonly propagatesEventHandlerErrors = true;
  private readonly events = new Map<string, MessageHandler[]>();
  private readonly requests = new Map<string, MessageHandler>();
  private readonly transport: ResolvedTransport;
  private readonly given: RedisStreamsEngine | undefined;
  private readonly engineOptions: RedisStreamsOptions;
  private engine: RedisStreamsEngine | undefined;
  private run: ServerRun | undefined;
  private closing: Promise<void> | undefined;
  /** What is to be taken back at the end: an engine of the module's lives on. */
  private ends: Array<() => void> = [];
  private hasHooks = false;
  private readonly listeners: Array<(engine: RedisStreamsEngine) => () => void> = [];

  /** @throws InvalidOptionsError with every problem found */
  constructor({ engine, ...options }: RedisStreamsServerOptions = {}) {
    super();
    this.transport = resolveTransport(options.transport);
    this.engineOptions = options;
    this.given = engine;
    const { serializer, deserializer } = options.transport ?? {};
    this.initializeSerializer({ serializer } as never);
    this.initializeDeserializer({ deserializer } as never);
  }

  override addHandler(pattern: unknown, callback: MessageHandler, isEventHandler = false, extras: Record<string, unknown> = {}): void {
    if (pattern instanceof RegExp) {
      throw new InvalidOptionsError([{ path: `pattern ${String(pattern)}`, message: 'is a regular expression, and a pattern names a stream here: give each pattern its handler' }]);
    }
    const route = routeOf(this.normalizePattern(pattern as string), pattern);
    callback.isEventHandler = isEventHandler;
    callback.extras = extras;
    if (isEventHandler) this.events.set(route, [...(this.events.get(route) ?? []), callback]);
    else if (this.requests.has(route)) this.logger.warn(`the request ${route} has several handlers; the last one answers`);
    if (!isEventHandler) this.requests.set(route, callback);
    // Not chained by `next`, as Nest does it: each is settled by itself.
    if (!isEventHandler || !this.messageHandlers.has(route)) this.messageHandlers.set(route, callback);
  }

  /** Joins the groups of all patterns; calls back when that is done, or with what went wrong. */
  async listen(callback: (error?: unknown) => unknown): Promise<void> {
    await this.closing;
    if (this.run) return void callback(new Error('it listens already'));
    const starting = this.start();
    const { run } = this;
    try {
      await starting;
    } catch (error) {
      // Closed meanwhile, it may have failed long after that, and be listening again: that one stays.
      await (this.run === run ? this.close() : this.closing);
      callback(toError(error));
      return;
    }
    callback();
  }

  /** Reads nothing more, waits for handlers, settles; joins a stop of the module under way. Idempotent. It may listen again. */
  close(): Promise<void> {
    this.closing ??= this.stop().finally(() => (this.closing = undefined));
    return this.closing;
  }

  /** Events of the engine by name, such as `queue.deadLettered`; `error` for what nobody else is told. */
  on<K extends keyof RedisStreamsEventMap>(event: K, callback: (event: RedisStreamsEventMap[K]) => void): void;
  on(event: string, callback: (event: never) => void): void;
  on(event: string, callback: (event: never) => void): void {
    const listen = (engine: RedisStreamsEngine): (() => void) => engine.events.on(event as RedisStreamsEvent['type'], callback as () => void);
    this.listeners.push(listen);
    if (this.engine) this.ends.push(listen(this.engine));
  }

  /** The engine underneath. @throws Error before `listen` */
  unwrap<T = RedisStreamsEngine>(): T {
    if (!this.engine) throw new Error('Not initialized. Please call the "listen"/"startAllMicroservices" method before accessing the server.');
    return this.engine as T;
  }

  override setOnProcessingStartHook(hook: never): void {
    this.hasHooks = true;
    super.setOnProcessingStartHook(hook);
  }

  override setOnProcessingEndHook(hook: never): void {
    this.hasHooks = true;
    super.setOnProcessingEndHook(hook);
  }

  private async start(): Promise<void> {
    const { events, requests, transport } = this;
    if (events.size > 0 && transport.service === undefined) {
      throw new InvalidOptionsError([{ path: 'transport.service', message: `must be given: ${events.size} patterns have event handlers, and instances of a service share its events (got ${describe(undefined)})` }]);
    }
    const engine = (this.engine = this.given ?? new RedisStreamsEngine(this.engineOptions));
    // One by one: what has begun when another fails is to end.
    this.ends = [statusOf(engine, transport.connection, (status) => this._status$.next(status))];
    for (const listen of this.listeners) this.ends.push(listen(engine));
    if (this.given) this.ends.push(engine.beforeClose(() => this.close()));
    const { serializer, deserializer } = this.engineOptions.transport ?? {};
    const run = (this.run = new ServerRun(engine, transport, { events, requests }, {
      hooked: (context, work) => this.hooked(context, work),
      ...(deserializer && { deserialize: async (value, route) => ((await this.deserializer.deserialize(value, { channel: route })) as IncomingRequest).data }),
      ...(serializer && { serialize: async (reply) => (await this.serializer.serialize(reply as never)) as unknown }),
    }));
    await answered(engine, transport.connection);
    if (this.run !== run) throw new ClosedError('the server', 'it was closed while it started');
    await run.start();
  }

  private async stop(): Promise<void> {
    const { run, ends } = this;
    this.ends = [];
    this.run = undefined;
    await run?.stop();
    if (!this.given) await this.engine?.stop();
    for (const end of ends) end();
    if (this.engine) this._status$.next('disconnected');
    this.engine = undefined;
  }

  private hooked<T>(context: RedisStreamsContext, work: () => Promise<T>): Promise<T> {
    if (!this.hasHooks) return work();
    return new Promise<T>((resolve, reject) => {
      let begun = false;
      const done = async (): Promise<void> => {
        if (begun) return;
        begun = true;
        try {
          resolve(await work());
        } catch (error) {
          reject(error as Error);
        }
        try {
          this.onProcessingEndHook?.(this.transportId, context);
        } catch (error) {
          this.logger.error(`the processing end hook failed: ${toError(error).message}`);
        }
      };
      // One that fails before it has called `done` would leave the message for ever.
      const failed = (error: unknown): void => {
        if (begun) this.logger.error(`the processing start hook failed: ${toError(error).message}`);
        else reject(toError(error));
      };
      try {
        Promise.resolve(this.onProcessingStartHook(this.transportId, context, done) as unknown).catch(failed);
      } catch (error) {
        failed(error);
      }
    });
  }
}
