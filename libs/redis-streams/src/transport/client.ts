import { Logger } from '@nestjs/common';
import { ClientProxy, type PacketId, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { Observable } from 'rxjs';
import type { RedisStreamsEngine } from '../engine.js';
import { ClosedError, toError } from '../errors/index.js';
import { RawJson } from '../handling/raw-json.js';
import type { RedisStreamsEventMap } from '../observability/events.js';
import type { RedisStreamsOptions } from '../options.js';
import { answered } from './answers.js';
import { ClientSession, type ClientSessionHost, type Listen } from './client-session.js';
import { Codec, type Encoded } from './codec.js';
import { HEADER } from './headers.js';
import { resolveTransport, type ResolvedTransport } from './options.js';
import { headersOf, isNil, labelOf, routeOf, unwrapped } from './packet.js';
import { isRecord, type RecordOptions } from './record.js';
import type { RedisStreamsStatus } from './status.js';
import { type ReplyReading, Teller } from './teller.js';

/** As the module's, for `ClientsModule.register([{ name, customClass: RedisStreamsClient, options }])`. `engine`: the module's own, when it is given by the module. */
export interface RedisStreamsClientOptions extends RedisStreamsOptions {
  readonly engine?: RedisStreamsEngine;
}

/** So long before what is sent behind its application's end is refused: what is tried again without end must not be all that the process does. */
const REFUSE_AFTER_MS = 250;
/** So long after that end it is an answer that somebody may wait for; later it does not keep the process. */
const ANSWERS_FOR_MS = 1_000;

/** Sends events and requests. Connects at the first of them; after `close` the next one connects again, unless it was the end of its application. */
export class RedisStreamsClient extends ClientProxy<Record<string, (event: never) => void>> {
  private readonly logger = new Logger(RedisStreamsClient.name);
  private readonly transport: ResolvedTransport;
  private readonly codec: Codec;
  private readonly hasSerializer: boolean;
  private readonly reading: ReplyReading;
  private readonly host: ClientSessionHost;
  private session: ClientSession | undefined;
  private opening: Promise<ClientSession> | undefined;
  private connecting: Promise<void> | undefined;
  /** Events that are no producer's yet. */
  private readonly waiting = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;
  private readonly listeners: Listen[] = [];
  /** Applications that have begun and not ended. One made by `ClientsModule.register` is every application's of that module. */
  private applications = 0;
  /** When the last of them ended. */
  private over: number | undefined;

  static {
    // ClientsModule puts the client's `close` there, and cannot say that it is for good: what is tried again behind it would open the client, and keep the
    // process. Not a member for TypeScript: a subclass may have a method of this name.
    Object.defineProperty(RedisStreamsClient.prototype, 'onApplicationShutdown', {
      configurable: true,
      set(this: RedisStreamsClient, hook: unknown) {
        const own = (name: string, value: unknown): unknown => Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
        const { onModuleInit } = this as { onModuleInit?: () => unknown };
        const begin = (): unknown => {
          this.applications++;
          this.over = undefined;
          return onModuleInit?.call(this);
        };
        const end = (): Promise<void> => {
          // A second close of the last one changes nothing; nor does one that has never begun, while no other has.
          if (this.applications > 0 && --this.applications === 0) this.over = performance.now();
          return this.close();
        };
        const isNest = hook === this.close;
        own('onApplicationShutdown', isNest ? end : hook);
        if (isNest) own('onModuleInit', begin);
      },
    });
  }

  /** @throws InvalidOptionsError with every problem found */
  constructor({ engine, ...options }: RedisStreamsClientOptions = {}) {
    super();
    this.transport = resolveTransport(options.transport, engine);
    this.codec = new Codec(this.transport);
    this.host = {
      given: engine, options, transport: this.transport, listeners: this.listeners,
      status: (status) => this._status$.next(status),
      close: () => {
        this.over = performance.now(); // an engine that has ended is not started again
        return this.close();
      },
    };
    const { serializer, deserializer } = options.transport ?? {};
    this.hasSerializer = serializer !== undefined;
    this.initializeSerializer({ serializer } as never);
    this.initializeDeserializer({ deserializer } as never);
    this.reading = { codec: this.codec, hasDeserializer: deserializer !== undefined, deserialize: (value) => this.deserializer.deserialize(value) };
  }

  /** What `ClientsModule` takes is a client of any status: that is why the base does not have this type. */
  override get status(): Observable<RedisStreamsStatus> {
    return super.status as Observable<RedisStreamsStatus>;
  }

  /** Resolves when Redis answers. Needs not be called: sending does it. @throws ConnectionError, after startTimeoutMs | InvalidOptionsError */
  connect(): Promise<void> {
    if (this.over !== undefined) return this.refused(this.over).then(() => this.connect());
    this.connecting ??= this.answered().catch((error: unknown) => {
      this.connecting = undefined;
      throw error;
    });
    return this.connecting;
  }

  /** Sends what waits, fails requests that are open, deletes the stream of their replies. Idempotent; bounded. */
  close(): Promise<void> {
    // Something was sent meanwhile: what it opens behind that end is ended as well.
    if (this.closing && this.opening) return this.closing.then(() => this.close());
    this.closing ??= this.end().finally(() => (this.closing = undefined));
    return this.closing;
  }

  /**
   * Sent at once, whether or not anybody subscribes; emits and completes when Redis has the event. An error nobody subscribes
   * to is logged. @throws as {@link emitAsync}, through the Observable
   */
  override emit<Result = unknown, Input = unknown>(pattern: unknown, data: Input): Observable<Result> {
    if (isNil(pattern) || isNil(data)) return super.emit(pattern, data); // which knows what to say of it
    let isHeard = false;
    const sent = this.emitAsync(pattern, data);
    sent.catch((error: unknown) => isHeard || this.logger.warn(`the event ${labelOf(() => this.routeOf(pattern))} could not be sent: ${toError(error).message}`));
    return new Observable<Result>((subscriber) => {
      isHeard = true;
      sent.then(
        () => {
          subscriber.next(undefined as Result);
          subscriber.complete();
        },
        (error: unknown) => subscriber.error(error),
      );
    });
  }

  /**
   * As `emit`, without an Observable: resolves when Redis has the event.
   * @throws BackpressureError | ConnectionError | ReplicationError | PartitionFullError | InvalidOptionsError (data that cannot be sent) | ClosedError
   */
  emitAsync(pattern: unknown, data: unknown): Promise<void> {
    try {
      return this.dispatchEvent(this.packetOf(pattern, data));
    } catch (error) {
      return Promise.reject(toError(error));
    }
  }

  /** As Nest's, which asks to be connected first. Where that is so, the request goes out as it is subscribed to. */
  override send<Result = unknown, Input = unknown>(pattern: unknown, data: Input): Observable<Result> {
    if (isNil(pattern) || isNil(data)) return super.send(pattern, data);
    return new Observable<Result>((observer) => {
      // While it closes, the next session is waited for.
      if (this.closing || !this.session?.inbox.isReady) return super.send<Result, Input>(pattern, data).subscribe(observer);
      return this.publish(this.packetOf(pattern, data), this.createObserver(observer));
    });
  }

  /** Events of the engine by name, such as `connection.error`. */
  override on<K extends keyof RedisStreamsEventMap>(event: K, callback: (event: RedisStreamsEventMap[K]) => void): void;
  override on(event: string, callback: (event: never) => void): void;
  override on(event: string, callback: (event: never) => void): void {
    const listen: Listen = (engine) => engine.events.on(event as keyof RedisStreamsEventMap, callback as () => void);
    this.listeners.push(listen);
    this.session?.listen(listen);
  }

  /** The engine underneath. @throws Error before `connect` */
  override unwrap<T = RedisStreamsEngine>(): T {
    if (!this.session) throw new Error('Not initialized. Please call the "connect" method first.');
    return this.session.engine as T;
  }

  protected override dispatchEvent<T = void>(packet: ReadPacket): Promise<T> {
    const { data, options } = unwrapped(packet.data);
    const encoded = this.encode(packet, data);
    const sent = encoded instanceof Promise ? this.early(encoded.then((each) => this.dispatch(packet, options, each))) : this.dispatch(packet, options, encoded);
    return sent as Promise<T>;
  }

  private dispatch(packet: ReadPacket, options: RecordOptions, { text, codec }: Encoded): Promise<unknown> {
    const { key, id, delayMs, ttlMs } = options;
    const event = { data: new RawJson(text), headers: headersOf(packet, options, codec, ttlMs), key, id, delayMs };
    const pattern = this.routeOf(packet.pattern);
    if (this.session) return this.session.events.send(pattern, event);
    return this.early(this.at().then(({ events }) => events.send(pattern, event)));
  }

  protected override publish(packet: ReadPacket & Partial<PacketId>, tell: (packet: WritePacket) => void): () => void {
    const cancel = this.ask(packet, tell);
    if (cancel) return cancel;
    let teardown = (): void => undefined;
    let isOver = false;
    this.request(packet, tell, () => isOver).then(
      (undo) => (isOver ? undo() : (teardown = undo)),
      (error: unknown) => isOver || tell({ err: error, isDisposed: true }),
    );
    return () => {
      isOver = true;
      teardown();
    };
  }

  /** The way of nearly all requests, without a promise. @returns as `request`, or undefined: something is to be waited for first */
  private ask(packet: ReadPacket, tell: (packet: WritePacket) => void): (() => void) | undefined {
    const { session, transport: { requestTimeoutMs } } = this;
    const isPlain = !this.hasSerializer && !isRecord(packet.data) && !('metadata' in packet);
    if (!isPlain || !session?.inbox.isReady || !this.codec.isReady) return undefined;
    const { inbox, requests } = session;
    const pattern = this.routeOf(packet.pattern);
    const producer = requests.get(pattern);
    if (!producer) return undefined;
    const { text, codec } = this.codec.encode(packet.data);
    const id = inbox.add(new Teller(pattern, this.reading, tell), requestTimeoutMs);
    producer.post(text, inbox.headersOf(id, codec, requestTimeoutMs), (error) => inbox.fail(id, error));
    return () => inbox.cancel(id);
  }

  /** @returns what to do when nobody waits for the reply any more */
  private async request(packet: ReadPacket, tell: (packet: WritePacket) => void, isOver: () => boolean): Promise<() => void> {
    const { data, options } = unwrapped(packet.data);
    const pattern = this.routeOf(packet.pattern);
    const session = await this.at();
    const { inbox, requests } = session;
    await inbox.start();
    const { text, codec } = await this.encode(packet, data);
    const producer = requests.get(pattern) ?? (await requests.find(pattern));
    if (isOver()) return () => undefined;
    if (!inbox.isReady) throw new ClosedError('the client', 'it was closed before this request was sent');
    const { requestTimeoutMs } = this.transport;
    const id = inbox.add(new Teller(pattern, this.reading, tell), requestTimeoutMs);
    const headers = { ...headersOf(packet, options, codec, options.ttlMs ?? (requestTimeoutMs || undefined)), [HEADER.replies]: inbox.key, [HEADER.request]: id };
    const { key, delayMs, id: messageId } = options;
    producer.send(new RawJson(text), { headers, ...(key !== undefined && { key }), ...(delayMs !== undefined && { delayMs }), ...(messageId !== undefined && { id: messageId }) })
      .catch((error: unknown) => inbox.fail(id, error));
    return () => inbox.cancel(id);
  }

  private encode(packet: ReadPacket, data: unknown): Encoded | Promise<Encoded> {
    if (!this.hasSerializer) return this.codec.isReady ? this.codec.encode(data) : this.codec.load().then(() => this.codec.encode(data));
    return Promise.resolve(this.serializer.serialize({ ...packet, data }) as unknown).then((made) => this.codec.encodePacket(made));
  }

  /** `close` waits for it: it is on its way to a producer, which sends what it has. */
  private early<T>(sent: Promise<T>): Promise<T> {
    const gone = (): void => void this.waiting.delete(sent);
    this.waiting.add(sent);
    sent.then(gone, gone);
    return sent;
  }

  private at(): Promise<ClientSession> {
    if (this.session) return Promise.resolve(this.session);
    if (this.over !== undefined) return this.refused(this.over).then(() => this.at());
    void this.connect().catch(() => undefined); // what is sent has patience of its own
    return this.opened();
  }

  /** @throws ClosedError, but for one that the next application has taken up meanwhile */
  private async refused(since: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, REFUSE_AFTER_MS);
      if (performance.now() - since > ANSWERS_FOR_MS) timer.unref();
    });
    if (this.over !== undefined) throw new ClosedError('the client', 'its application has ended');
  }

  private opened(): Promise<ClientSession> {
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  private async answered(): Promise<void> {
    const session = await this.opened();
    await answered(session.engine, this.transport.connection);
    if (this.session === session) this._status$.next('connected');
  }

  private async open(): Promise<ClientSession> {
    await this.closing;
    await this.codec.load();
    const known = this.listeners.length;
    const session = await ClientSession.open(this.host).catch((error: unknown) => {
      if (this.host.given && error instanceof ClosedError) this.over ??= performance.now();
      throw error;
    });
    for (const listen of this.listeners.slice(known)) session.listen(listen);
    return (this.session = session);
  }

  private async end(): Promise<void> {
    const { opening } = this;
    const before = [...this.waiting]; // what comes from here on waits for the end
    this.opening = undefined;
    this.connecting = undefined;
    const session = await opening?.catch(() => undefined);
    await session?.flush(before);
    if (this.session === session) this.session = undefined;
    if (!session) return;
    await session.close();
    this._status$.next('disconnected');
  }

  private packetOf(pattern: unknown, data: unknown): ReadPacket {
    // Nest 12 has a hook there for instrumentation; in 11 there is none.
    return typeof this.createPacket === 'function' ? this.createPacket(pattern, data) : { pattern, data };
  }

  private routeOf(pattern: unknown): string {
    return typeof pattern === 'string' ? pattern : routeOf(this.normalizePattern(pattern as never), pattern);
  }
}
