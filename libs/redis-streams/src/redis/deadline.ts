/**
 * Settles with `work`, or rejects with `onExpiry()` after `ms`. The timer never outlives either.
 *
 * After a stall of this process the timer is late and fires before the event loop has read its sockets, where the
 * answer may be waiting. So the verdict falls one turn later, after the reading.
 */
export function withDeadline<T>(work: Promise<T>, ms: number, onExpiry: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let settled = false;
    const timer = setTimeout(() => setImmediate(() => settled || reject(onExpiry())), ms);
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
    };
    work.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
