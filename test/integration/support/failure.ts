/** The error a promise must reject with. */
export function failure<T extends Error = Error>(promise: Promise<unknown>): Promise<T> {
  return promise.then((value) => { throw new Error(`it did not fail: ${JSON.stringify(value)}`); }, (error: T) => error);
}
