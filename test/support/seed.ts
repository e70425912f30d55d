import { randomInt } from 'node:crypto';

export interface Rng {
  readonly seed: number;
  /** In [0, 1). */
  next(): number;
  /** A whole number in [min, max], both ends included. */
  int(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<T>(values: readonly T[]): T;
  shuffle<T>(values: readonly T[]): T[];
  /** An independent generator, so that one part's draws do not shift another's. */
  fork(): Rng;
}

/** SEED from the environment, else a random one; printed either way, since a failure is repeated by it. */
export function seedFromEnv(label = 'seed'): number {
  const given = process.env['SEED'];
  const seed = given === undefined || given === '' ? randomInt(2 ** 31) : Number(given);
  if (!Number.isInteger(seed)) throw new Error(`SEED must be a whole number, got "${given}"`);
  process.stderr.write(`${label}: SEED=${seed}\n`);
  return seed;
}

/** mulberry32: 32 bits of state, good enough to spread faults, and the same on every platform. */
export function createRng(seed: number): Rng {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  return {
    seed,
    next,
    int,
    chance: (probability) => next() < probability,
    pick: <T>(values: readonly T[]): T => {
      if (values.length === 0) throw new Error('Cannot pick from an empty list');
      return values[int(0, values.length - 1)] as T;
    },
    shuffle: <T>(values: readonly T[]): T[] => {
      const result = [...values];
      for (let i = result.length - 1; i > 0; i--) {
        const j = int(0, i);
        [result[i], result[j]] = [result[j] as T, result[i] as T];
      }
      return result;
    },
    fork: () => createRng(Math.floor(next() * 2 ** 32)),
  };
}
