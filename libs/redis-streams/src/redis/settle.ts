/** Why an item was not stored. For a promise's resolve function a rejection, so that no second function is kept for each that waits. */
export class Failed implements PromiseLike<never> {
  constructor(readonly error: unknown) {}

  // oxlint-disable-next-line unicorn/no-thenable -- the point of it
  then<A = never, B = never>(fulfilled?: ((value: never) => A | PromiseLike<A>) | null, rejected?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<A | B> {
    return Promise.reject(this.error as Error).then(fulfilled, rejected);
  }
}

/** Who waits for an item: a promise's resolve function, or what knows of `Failed`. `place`: what was given with the item. */
export type Settle<R> = (result: R | Failed, place: number) => void;

/**
 * One promise for all items instead of one for each, and one function that is told of them by their places.
 * Resolves when all have settled. @throws what the first that failed, in order, failed with
 */
export function together<I, R>(items: readonly I[], send: (item: I, settle: Settle<R>, place: number) => void): Promise<R[]> {
  const all = new All<R>(items.length);
  for (let i = 0; i < items.length; i++) send(items[i]!, all.settle, i);
  return all.settled.then(valuesOf);
}

/** Knows nothing of the items: they are to die young. */
class All<R> {
  readonly settled: Promise<ReadonlyArray<R | Failed>>;
  private readonly results: Array<R | Failed | undefined> = [];
  private left: number;
  private tell!: (results: ReadonlyArray<R | Failed>) => void;

  constructor(count: number) {
    this.left = count;
    this.results.length = count;
    this.settled = new Promise((resolve) => (this.tell = resolve));
    if (count === 0) this.tell([]);
  }

  readonly settle: Settle<R> = (result, place) => {
    if (this.results[place] !== undefined) return; // given up already
    this.results[place] = result;
    if (--this.left === 0) this.tell(this.results as Array<R | Failed>);
  };
}

function valuesOf<R>(results: ReadonlyArray<R | Failed>): R[] {
  for (const result of results) if (result instanceof Failed) throw result.error;
  return results as R[];
}
