/**
 * What a handler has returned, as a promise if it is one to wait for. A `then` that is not a promise's own may throw, call back
 * twice or return nothing: none of that may reach whoever called the handler.
 */
export function promiseOf(value: unknown): Promise<unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    if (value instanceof Promise) return value;
    return typeof (value as { then?: unknown }).then === 'function' ? Promise.resolve(value) : undefined;
  } catch (error) {
    return Promise.reject(error as Error); // a revoked proxy, say
  }
}
