const SLOTS = 16_384;
/** Up to here every number of masters up to that of the shards is served; with more shards, up to half of it. */
const CLOSE = 32;

/**
 * Hash tags of a queue's shards such that their slots lie evenly over the slot space: shard `i` of `n` in the middle of
 * the i-th of n equal stripes. With as many shards as masters, or more, every master of a balanced cluster serves some; and
 * queues of different names lie in different slots.
 *   How near to the middle: a master's stripe is longer than a shard's by at least 1/(n - 1) of the latter, so of the two
 * middles nearest to its ends one is half of that inside. A slot is found the later the nearer it has to be.
 */
export function shardTags(name: string, shards: number, slotOf: (tag: string) => number): string[] {
  const off = shards <= CLOSE ? 1 / (2 * shards + 8) : 1 / 6;
  return Array.from({ length: shards }, (_, shard) => {
    for (let variant = 0; ; variant++) {
      const tag = `${name}/${shard}${variant === 0 ? '' : `.${variant}`}`;
      const place = (slotOf(tag) * shards) / SLOTS - shard;
      if (shards === 1 || Math.abs(place - 1 / 2) < off) return tag;
    }
  });
}
