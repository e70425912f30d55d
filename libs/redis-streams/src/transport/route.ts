import type { MessageHandler } from '@nestjs/microservices';
import { isObservable, type Observable } from 'rxjs';
import type { RedisStreamsEvents } from '../observability/events.js';
import { type Codec, UndecodableError } from './codec.js';
import { type Delivery, RedisStreamsContext } from './context.js';
import { DeadLetterException } from './exceptions.js';
import { HEADER } from './headers.js';
import type { ServerClock } from './server-clock.js';

/** What all patterns of a server share. */
export interface RouteHost {
  readonly codec: Codec;
  readonly clock: ServerClock;
  readonly events: RedisStreamsEvents;
  readonly maxBytes: number;
  /** Of a deserializer of the user's: the data of a packet. Undefined: there is none. */
  readonly deserialize: ((value: unknown, route: string) => Promise<unknown>) | undefined;
  /** Calls `work` between Nest's processing hooks. */
  hooked<T>(context: RedisStreamsContext, work: () => Promise<T>): Promise<T>;
}

/** One pattern of a server. */
export abstract class Route {
  constructor(
    readonly pattern: string,
    protected readonly host: RouteHost,
  ) {}

  /** The handler of the consumer underneath: what it returns is waited for, what it throws says what becomes of the message. */
  readonly message = (raw: unknown, delivery: Delivery): Promise<unknown> | undefined => {
    if (this.isExpired(delivery)) return void this.expired(delivery);
    const context = new RedisStreamsContext(delivery, this.pattern);
    return this.host.hooked(context, () => this.handle(raw, context));
  };

  /** Reads the data with `read`, and runs the handlers. @throws also at once */
  protected abstract handle(raw: unknown, context: RedisStreamsContext): Promise<unknown>;

  /** A promise where a deserializer of the user's is asked. @throws DeadLetterException: it cannot be read, and no attempt more would help */
  protected read(raw: unknown, { delivery }: RedisStreamsContext): unknown {
    const { pattern, host } = this;
    const codec = delivery.headers[HEADER.codec];
    if (delivery.size > host.maxBytes) throw new DeadLetterException('too-large', { message: `data of ${delivery.size} characters (transport.maxBytes: ${host.maxBytes})` });
    try {
      const data = host.codec.decode(raw, codec);
      if (host.deserialize) return host.deserialize(codec === undefined || codec === 'msgpack' ? { pattern, data } : data, pattern);
      return packetData(data, codec);
    } catch (error) {
      if (error instanceof UndecodableError) throw new DeadLetterException('unreadable', { message: error.message, cause: error });
      throw error;
    }
  }

  private isExpired({ headers, id }: Delivery): boolean {
    const ttlMs = headers[HEADER.ttl];
    if (ttlMs === undefined) return false;
    const ageMs = Math.round(this.host.clock.now() - Number.parseInt(id, 10));
    // What is no number expires never: it is another's mistake, and no reason to lose a message.
    if (!(ageMs > Number(ttlMs))) return false;
    this.host.events.emit('transport.expired', { pattern: this.pattern, id, ageMs });
    return true;
  }

  /** It was not run, and will not be. */
  private expired(delivery: Delivery): void {
    // With `ack: 'manual'` nobody else would.
    void delivery.ack().catch(() => undefined);
  }
}

/** Without a deserializer: what a serializer of the client has made is taken for a packet, as Nest does. */
function packetData(value: unknown, codec: string | undefined): unknown {
  const isPacket = codec === 'packet' && typeof value === 'object' && value !== null && 'data' in value;
  return isPacket ? (value as { data: unknown }).data : value;
}

/** Runs one handler until what it returned is complete. */
export async function completed(handler: MessageHandler, data: unknown, context: RedisStreamsContext): Promise<void> {
  await endOf(await handler(data, context), context);
}

/** Undefined: it is over. */
export function endOf(result: unknown, { delivery }: RedisStreamsContext): Promise<void> | undefined {
  return isObservable(result) ? ended(result, delivery.signal) : undefined;
}

/** Unsubscribes when the message is not this process's any more: an Observable need not end by itself. */
function ended(source: Observable<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const subscription = source.subscribe({ error: reject, complete: resolve });
    onAbort(signal, (reason) => {
      subscription.unsubscribe();
      reject(reason);
    });
  });
}

/** At once when it is aborted already. */
export function onAbort(signal: AbortSignal, call: (reason: Error) => void): void {
  if (signal.aborted) call(signal.reason as Error);
  else signal.addEventListener('abort', () => call(signal.reason as Error), { once: true });
}
