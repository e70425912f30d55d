import type { MessageHandler } from '@nestjs/microservices';
import { type Outcome, outcomeOf } from '../handling/outcome.js';
import type { RedisStreamsContext } from './context.js';
import { RetryException } from './exceptions.js';
import { completed, endOf, onAbort, Route, type RouteHost } from './route.js';
import type { SettledHandlers } from './settled-handlers.js';

/** Events of one pattern. Several handlers are settled one by one: an attempt more runs those that have not succeeded. */
export class EventRoute extends Route {
  constructor(
    pattern: string,
    host: RouteHost,
    private readonly handlers: readonly MessageHandler[],
    private readonly settled: SettledHandlers,
    /** The last one is followed by none: nothing need be known after it. */
    private readonly maxAttempts: number,
  ) {
    super(pattern, host);
  }

  protected handle(raw: unknown, context: RedisStreamsContext): Promise<unknown> {
    const data = this.read(raw, context);
    return data instanceof Promise ? data.then((read) => this.run(read, context)) : this.run(data, context);
  }

  /** Chained, not awaited: it is the way of every event, and an async function makes three promises where this makes one. */
  private run(data: unknown, context: RedisStreamsContext): Promise<unknown> {
    const { handlers } = this;
    if (handlers.length > 1) return this.handleAll(data, context);
    let returned: unknown;
    try {
      returned = handlers[0]!(data, context);
    } catch (thrown) {
      throw asError(thrown);
    }
    return Promise.resolve(returned).then((result) => endOf(result, context)?.catch(rethrow), rethrow);
  }

  private async handleAll(data: unknown, context: RedisStreamsContext): Promise<void> {
    const { handlers, settled } = this;
    const before = context.attempt > 1 ? await settled.of(context, handlers.length) : [];
    const ended = new Set(before);
    const { signal } = context.delivery;
    // One that is late may never end, and the next attempt does not wait for it: who has succeeded is noted at once.
    onAbort(signal, () => void this.remember(context, ended).catch(() => undefined));
    const outcomes = await Promise.all(
      handlers.map(async (handler, i): Promise<unknown> => {
        if (before.includes(i)) return undefined;
        try {
          await completed(handler, data, context);
        } catch (thrown) {
          const error = asError(thrown);
          if (outcomeOf(error)?.kind !== 'drop') return error;
        }
        ended.add(i);
        return undefined;
      }),
    );
    const open = outcomes.filter((error) => error !== undefined);
    if (signal.aborted) {
      if (open.length > 0) throw open[0];
      return; // what becomes of it was said without us, and another attempt may have noted more
    }
    if (open.length === 0) {
      if (before.length > 0) await settled.forget(context);
      return;
    }
    const again = open.filter((error) => outcomeOf(error)?.kind !== 'dead-letter');
    // One that wants the dead letter keeps no other from its next attempt; asked again then, it is heard when it is the last.
    if (again.length === 0) {
      await settled.forget(context);
      throw open[0];
    }
    await this.remember(context, ended);
    throw again.length === 1 ? again[0] : together(again as Error[]);
  }

  private remember(context: RedisStreamsContext, ended: ReadonlySet<number>): Promise<void> {
    const { handlers, settled } = this;
    return context.attempt < this.maxAttempts ? settled.note(context, handlers.length, [...ended]) : settled.forget(context);
  }
}

/** One error for several: the longest of the delays they ask for. */
function together(errors: readonly Error[]): Error {
  const message = `${errors.length} handlers failed: ${errors.map((error) => error.message).join('; ')}`;
  const cause = new AggregateError(errors, message);
  const delays = errors.flatMap((error) => delayOf(outcomeOf(error)));
  return delays.length > 0 ? new RetryException(message, { delayMs: Math.max(...delays), cause }) : new Error(message, { cause });
}

function delayOf(outcome: Outcome | undefined): number[] {
  return outcome?.kind === 'retry' && outcome.delayMs !== undefined ? [outcome.delayMs] : [];
}

function rethrow(thrown: unknown): never {
  throw asError(thrown);
}

/** Nest's filters make plain objects of what is thrown: `{ status, message }`. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  const message = typeof thrown === 'object' && thrown !== null && 'message' in thrown ? (thrown as { message: unknown }).message : thrown;
  return new Error(typeof message === 'string' ? message : safely(message), { cause: thrown });
}

function safely(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return `a thrown ${typeof value}`;
  }
}

