import { isObservable, Observable, type Subscription } from 'rxjs';

/** A handler with everything around it. Returns at once what a synchronous method returns that nothing stands before. */
export type HandlerProxy = (data: unknown, context: unknown) => unknown;
export type Method = (...args: unknown[]) => unknown;

export interface DirectCall {
  readonly instance: object;
  readonly method: Method;
  /** The method's arguments. One that is a promise is awaited. */
  argumentsOf(data: unknown, context: unknown): unknown[];
  /** Exception filters. Undefined: none, what is thrown stands. */
  readonly rescue: ((error: unknown, data: unknown, context: unknown) => Promise<unknown>) | undefined;
}

/**
 * Calls a method that has no guard, interceptor or pipe, with what Nest would do for it and without the seven promises it
 * takes for that: at 100,000 messages a second these are most of what a call costs.
 */
export function directCall({ instance, method, argumentsOf, rescue }: DirectCall): HandlerProxy {
  return (data, context) => {
    let result: unknown;
    try {
      const args = argumentsOf(data, context);
      result = args.some(isThenable) ? Promise.all(args).then((values) => method.apply(instance, values)) : method.apply(instance, args);
    } catch (error) {
      if (rescue) return rescue(error, data, context);
      throw error;
    }
    if (typeof result !== 'object' || result === null) return result;
    const failed = rescue && ((error: unknown) => rescue(error, data, context));
    if (isThenable(result)) {
      // Resolved first where it is no Promise: the `then` of a query builder may return nothing, and may run the query.
      const promise = result instanceof Promise ? result : Promise.resolve(result);
      return promise.then((value: unknown) => (isObservable(value) ? ended(value, context, failed) : value), failed);
    }
    return isObservable(result) ? ended(result, context, failed) : result;
  };
}

/** Waits until a returned Observable is complete; anything else is its own result. */
export function completed(result: unknown, context: unknown): unknown {
  return isObservable(result) ? ended(result, context) : result;
}

async function ended(source: Observable<unknown>, context: unknown, failed?: (error: unknown) => unknown): Promise<unknown> {
  const streaming = new Streaming(context);
  try {
    return await streaming.last(streaming.watched(source));
  } catch (error) {
    if (error instanceof BrokenOff) throw error.reason;
    if (failed) return failed(error);
    throw error;
  }
}

/**
 * The handler's signal has ended its Observable. No failure of the handler: a filter that answers everything would make
 * unfinished work done.
 */
export class BrokenOff {
  constructor(public reason: unknown) {}

  during(teardown: () => void): void {
    try {
      teardown();
    } catch (error) {
      this.reason = error;
    }
  }
}

/**
 * One call whose method may return an Observable, which need not end by itself: with the signal of the context it does. A method
 * that returns a promise ends when that does, also behind interceptors, whose result is an Observable in either case.
 */
export class Streaming {
  private subscription: Subscription | undefined;
  private refuse: ((error: BrokenOff) => void) | undefined;
  private isBroken = false;

  constructor(private readonly context: unknown) {}

  /** What the method returned. Only here is the context asked for its signal, which is made when it is asked for. */
  watched(source: Observable<unknown>): Observable<unknown> {
    return new Observable((subscriber) => {
      const signal = (this.context as { readonly signal?: unknown } | undefined)?.signal;
      if (!(signal instanceof AbortSignal)) return source.subscribe(subscriber);
      const gone = (): void => {
        this.isBroken = true;
        const broken = new BrokenOff(signal.reason);
        // First, so that whatever they make of the error is nobody's result. The error is for who has subscribed apart from it all,
        // by `lastValueFrom(next.handle())` say. What a teardown throws would end the process out of here.
        this.refuse?.(broken);
        broken.during(() => this.subscription?.unsubscribe());
        broken.during(() => subscriber.error(signal.reason));
      };
      if (signal.aborted) return gone();
      signal.addEventListener('abort', gone, { once: true });
      subscriber.add(() => signal.removeEventListener('abort', gone));
      return source.subscribe(subscriber);
    });
  }

  /** The last value of what stands around it, if it has any. @throws BrokenOff when the signal has ended it */
  last(source: Observable<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let value: unknown;
      this.refuse = reject;
      this.subscription = source.subscribe({ next: (each) => void (value = each), error: reject, complete: () => resolve(value) });
      if (this.isBroken) this.subscription.unsubscribe();
    });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
