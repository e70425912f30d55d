/* oxlint-disable unicorn/no-thenable -- the point of it */

/** What a handler may return by mistake, or for a joke: each fails with the text `odd`. */
export const ODD_RETURNS: ReadonlyArray<readonly [what: string, make: () => unknown]> = [
  ['cannot be asked for its `then`', () => ({ get then() { throw new Error('odd'); } })],
  ['has a `then` that throws', () => ({ then() { throw new Error('odd'); } })],
  ['calls back twice', () => ({ then(done: () => void, failed: (error: Error) => void) { failed(new Error('odd')); done(); } })],
];
