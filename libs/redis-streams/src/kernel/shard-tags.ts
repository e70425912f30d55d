const SLOTS = 16_384;

/**
 * Hash tags of a queue's shards such that their slots lie evenly over the slot space: shard `i` of `n` in the middle third of
 * the i-th of n equal stripes. With as many shards as masters, or more, every master of a balanced cluster serves some; and
 * queues of different names lie in different slots.
 */
export function shardTags(name: string, shards: number, slotOf: (tag: string) => number): string[] {
  return Array.from({ length: shards }, (_, shard) => {
    for (let variant = 0; ; variant++) {
      const tag = `${name}/${shard}${variant === 0 ? '' : `.${variant}`}`;
      const place = (slotOf(tag) * shards) / SLOTS - shard;
      if (shards === 1 || (place >= 1 / 3 && place < 2 / 3)) return tag;
    }
  });
}
