import type { Release } from './witness.js';

/** A message that went out, and when the next one did. */
export interface Turn extends Release {
  /** Server milliseconds. */
  readonly at: number;
  readonly nextAt: number;
}

/** What one room showed, in its order. */
export class Timeline {
  readonly turns: readonly Turn[];
  private readonly index: ReadonlyMap<string, number>;

  /** `endAt`: the room was seen to wait for nobody. */
  constructor(releases: readonly Release[], endAt: number) {
    const sorted = releases.toSorted((a, b) => a.turn - b.turn);
    this.turns = sorted.map((release, i) => ({ ...release, at: release.turn / 1_000, nextAt: i + 1 < sorted.length ? sorted[i + 1]!.turn / 1_000 : endAt }));
    this.index = new Map(this.turns.map(({ id, redelivery }, i) => [`${id}/${redelivery}`, i]));
  }

  /** A message's place, or -1. */
  placeOf(id: string, redelivery: number): number {
    return this.index.get(`${id}/${redelivery}`) ?? -1;
  }

  /** The first one that went out after this time. */
  firstAfter(ms: number): number {
    let [low, high] = [0, this.turns.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.turns[middle]!.at > ms) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
