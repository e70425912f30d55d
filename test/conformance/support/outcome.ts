import { lastValueFrom, type Observable, Subscription, toArray } from 'rxjs';

/** Everything a sender is told: values, then the end or an error. */
export function told(source: Observable<unknown>, withinMs = 8_000): Promise<unknown[]> {
  return new Promise((resolve) => {
    const values: unknown[] = [];
    const subscription = new Subscription();
    const end = (how: unknown): void => {
      clearTimeout(timer);
      subscription.unsubscribe();
      resolve([...values, how]);
    };
    const timer = setTimeout(() => end(SILENCE), withinMs);
    subscription.add(source.subscribe({ next: (value) => values.push(value), error: (error: unknown) => end({ error: plain(error) }), complete: () => end('end') }));
  });
}

/** Neither an end nor an error, for as long as was waited. */
export const SILENCE = 'nothing more';

/** Of an Error its message: what class it is differs. */
function plain(error: unknown): unknown {
  return error instanceof Error ? error.message : error;
}

/** All values of a stream that ends well. */
export function all<T>(source: Observable<T>): Promise<T[]> {
  return lastValueFrom(source.pipe(toArray()));
}

/** One, as most requests are answered. */
export function one<T>(source: Observable<T>): Promise<T> {
  return lastValueFrom(source);
}

/** As `work`, which must not take for ever: the error says what it was. */
export async function inTime<T>(work: Promise<T> | T, what: string, ms = 10_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${ms} ms still not: ${what}`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
