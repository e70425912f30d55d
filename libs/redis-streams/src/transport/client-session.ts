import { RedisStreamsEngine } from '../engine.js';
import type { RedisStreamsOptions } from '../options.js';
import { sleep } from '../redis/sleep.js';
import { EventSender } from './event-sender.js';
import type { ResolvedTransport } from './options.js';
import { ReplyInbox } from './reply-inbox.js';
import { RequestQueues } from './requests.js';
import { statusOf, type RedisStreamsStatus } from './status.js';

/** Begins to listen to an engine. @returns how it ends */
export type Listen = (engine: RedisStreamsEngine) => () => void;

export interface ClientSessionHost {
  /** The module's engine, which lives on; undefined: one is made of `options`, and ends with the session. */
  readonly given: RedisStreamsEngine | undefined;
  readonly options: RedisStreamsOptions;
  readonly transport: ResolvedTransport;
  readonly listeners: readonly Listen[];
  status(status: RedisStreamsStatus): void;
  /** The module closes its engine after everybody's hooks: it takes the client along. */
  close(): Promise<void>;
}

/** A client from one `connect` to the `close` after it. */
export class ClientSession {
  readonly events: EventSender;
  readonly requests: RequestQueues;
  readonly inbox: ReplyInbox;

  private constructor(
    readonly engine: RedisStreamsEngine,
    private readonly ownsEngine: boolean,
    /** What is to be taken back at the end. */
    private readonly ends: Array<() => void>,
    transport: ResolvedTransport,
  ) {
    this.events = new EventSender(engine, transport);
    this.requests = new RequestQueues(engine, transport);
    this.inbox = new ReplyInbox(engine.partsOf(transport.connection).redis, engine.events, transport.namespace);
  }

  /** @throws as `RedisStreamsEngine.start` */
  static async open(host: ClientSessionHost): Promise<ClientSession> {
    const { given, transport } = host;
    const engine = given ?? new RedisStreamsEngine(host.options);
    const ends: Array<() => void> = [];
    try {
      // One by one: what has begun when another fails is to end.
      ends.push(statusOf(engine, transport.connection, (status) => host.status(status)));
      for (const listen of host.listeners) ends.push(listen(engine));
      if (given) ends.push(engine.beforeClose(() => host.close()));
      if (!given) await engine.start();
      return new ClientSession(engine, !given, ends, transport);
    } catch (error) {
      for (const end of ends) end();
      if (!given) await engine.stop();
      throw error;
    }
  }

  listen(listen: Listen): void {
    this.ends.push(listen(this.engine));
  }

  /** Resolves when `early` and all that is with a producer has been sent. Bounded: what is with none by then is refused by the engine's end. */
  async flush(early: ReadonlyArray<Promise<unknown>>): Promise<void> {
    const patience = new AbortController();
    const all = async (): Promise<void> => {
      await Promise.allSettled(early);
      await this.events.flush();
    };
    await Promise.race([all(), sleep(this.engine.timings.drainMs, patience.signal)]);
    patience.abort();
  }

  async close(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
    this.requests.close();
    await this.inbox.close();
    if (this.ownsEngine) await this.engine.stop();
  }
}
