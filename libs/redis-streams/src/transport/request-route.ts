import type { MessageHandler } from '@nestjs/microservices';
import { isObservable, type Subscription } from 'rxjs';
import { errorText } from '../handling/error-text.js';
import { outcomeOf } from '../handling/outcome.js';
import { isRepliesKey } from '../keys/transport-keys.js';
import type { QueueDelivery } from '../queue/delivery.js';
import type { Cancels, RunningRequest } from './cancels.js';
import type { Encoded } from './codec.js';
import type { RedisStreamsContext } from './context.js';
import { DeadLetterException } from './exceptions.js';
import { HEADER } from './headers.js';
import type { ReplyWriter } from './reply-writer.js';
import { onAbort, Route, type RouteHost } from './route.js';
import { REPLY, type ReplyKind, writeReply } from './wire.js';

export interface RequestHost extends RouteHost {
  readonly writer: ReplyWriter;
  readonly cancels: Cancels;
  /** Of a reply's value or error, with the user's serializer if there is one. */
  encodeReply(reply: { readonly response?: unknown; readonly err?: unknown; readonly isDisposed?: boolean }): Encoded | Promise<Encoded>;
}

/** As Nest has it, for a handler that fails with nothing. */
const UNKNOWN = { status: 'error', message: 'Internal server error' };
const STORED = Promise.resolve(true);
const GONE = Promise.resolve(false);

/** It was a dead letter: entries for one group alone come of a replay. */
function isReplayed({ delivery }: RedisStreamsContext): boolean {
  return (delivery as QueueDelivery).held.field('to') !== undefined;
}

/** One request while it runs: says its replies in order, and when the last of them is stored. */
class Exchange {
  private sequence = 0;
  private stored = STORED;
  /** Replies take a while to encode, or one could not be: each goes behind those before it. */
  private isSlow = false;

  constructor(
    private readonly host: RequestHost,
    private readonly replies: string,
    private readonly id: string,
    private readonly running: RunningRequest,
  ) {}

  value(response: unknown, isLast: boolean): Promise<boolean> {
    // Nothing at the end is an end: as Nest's clients take it.
    if (response === undefined) return this.write(isLast ? REPLY.end : REPLY.value);
    return this.encoded(isLast ? REPLY.last : REPLY.value, isLast ? { response, isDisposed: true } : { response });
  }

  end(): Promise<boolean> {
    return this.write(REPLY.end);
  }

  /** Behind what could be said before it; often what could not is the reason. */
  async error(err: unknown): Promise<boolean> {
    if (this.isSlow) await this.stored.catch(() => undefined);
    return this.put(REPLY.error, await this.errorText(err));
  }

  /** Whoever asked shall know, also of an error that nothing can carry. */
  private async errorText(err: unknown): Promise<Encoded> {
    const { host } = this;
    try {
      return await host.encodeReply({ err: err || UNKNOWN, isDisposed: true });
    } catch (error) {
      return host.codec.encode({ status: 'error', message: `the error of the request could not be sent: ${errorText(error as Error)}` });
    }
  }

  private encoded(kind: ReplyKind, reply: Parameters<RequestHost['encodeReply']>[0]): Promise<boolean> {
    let encoded: Encoded | Promise<Encoded>;
    try {
      encoded = this.host.encodeReply(reply);
    } catch (error) {
      // Too large, say. What comes behind it would hide that it is missing, the end above all.
      this.isSlow = true;
      return (this.stored = Promise.reject(error as Error));
    }
    if (!(encoded instanceof Promise)) return this.write(kind, encoded);
    this.isSlow = true;
    return (this.stored = Promise.all([encoded, this.stored]).then(([text]) => this.put(kind, text)));
  }

  private write(kind: ReplyKind, encoded?: Encoded): Promise<boolean> {
    return (this.stored = this.isSlow ? this.stored.then(() => this.put(kind, encoded)) : this.put(kind, encoded));
  }

  private put(kind: ReplyKind, encoded?: Encoded): Promise<boolean> {
    const { running } = this;
    return running.isCancelled ? GONE : this.host.writer.write(this.replies, writeReply(this.id, this.sequence++, kind, encoded?.text, encoded?.codec), running);
  }
}

/** Requests of one pattern: each is acknowledged when its last reply is stored. */
export class RequestRoute extends Route {
  constructor(
    pattern: string,
    protected override readonly host: RequestHost,
    private readonly handler: MessageHandler,
    /** At the last one whoever asked is told of the failure. */
    private readonly maxAttempts: number,
  ) {
    super(pattern, host);
  }

  protected async handle(raw: unknown, context: RedisStreamsContext): Promise<void> {
    const { host, pattern } = this;
    const { headers } = context.delivery;
    const replies = headers[HEADER.replies];
    const id = headers[HEADER.request];
    if (replies === undefined || id === undefined || !isRepliesKey(replies)) {
      throw new DeadLetterException('no-reply-address', { message: `a request needs the headers ${HEADER.replies}, {transport:...}:replies, and ${HEADER.request}` });
    }
    const running = host.cancels.begin(replies, id, pattern, isReplayed(context));
    if (!running) return; // cancelled before it came
    // Only asked for by handlers that look at their signal.
    context.cancelledBy(() => running.signal);
    const exchange = new Exchange(host, replies, id, running);
    let failure: { readonly error: unknown } | undefined;
    try {
      try {
        const read = this.read(raw, context);
        const result: unknown = await this.handler(read instanceof Promise ? ((await read) as unknown) : read, context);
        if (isObservable(result)) failure = await this.stream(result, exchange, running, context.delivery.signal);
        else await exchange.value(result, true);
      } catch (error) {
        failure = { error };
      }
      if (failure) await this.failed(failure.error, context, exchange, running);
    } finally {
      host.cancels.end(replies, id, running);
      if (running.isCancelled) host.events.emit('transport.callerGone', { pattern, id: context.id });
    }
  }

  private async failed(thrown: unknown, context: RedisStreamsContext, exchange: Exchange, running: RunningRequest): Promise<void> {
    if (running.isCancelled) return; // it was told to stop: what it says of that is for nobody
    if (context.delivery.signal.aborted) throw thrown; // broken off here, to be run by somebody else: no reply of ours
    const outcome = outcomeOf(thrown);
    const isFinal = outcome?.kind !== 'retry' || context.attempt >= this.maxAttempts;
    if (isFinal) await exchange.error(thrown instanceof Error ? { status: 'error', message: thrown.message } : thrown);
    if (outcome && outcome.kind !== 'drop') throw thrown;
  }

  /** Resolves when its end is stored, or with what it failed with. */
  private stream(source: { subscribe(observer: object): Subscription }, exchange: Exchange, running: RunningRequest, signal: AbortSignal): Promise<{ readonly error: unknown } | undefined> {
    return new Promise((resolve, reject) => {
      let subscription: Subscription | undefined;
      const broken = (error: unknown): void => {
        subscription?.unsubscribe();
        reject(error as Error);
      };
      subscription = source.subscribe({
        next: (value: unknown) => void exchange.value(value, false).catch(broken),
        error: (error: unknown) => resolve({ error }),
        complete: () => void exchange.end().then(() => resolve(undefined), broken),
      });
      running.onCancel(() => {
        subscription?.unsubscribe();
        resolve(undefined);
      });
      onAbort(signal, broken);
    });
  }
}
