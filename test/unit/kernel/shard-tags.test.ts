import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shardTags } from '../../../libs/redis-streams/dist/kernel/shard-tags.js';
import { slotOf } from '../../../libs/redis-streams/dist/redis/slot.js';

const SLOTS = 16_384;
const name = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,40}$/);
/** Which of so many masters, that share the slots as `redis-cli --cluster create` does, serves a slot. */
const masterOf = (slot: number, masters: number): number => Array.from({ length: masters }, (_, i) => Math.floor(((i + 1) * SLOTS) / masters)).findIndex((end) => slot < end);

describe('shardTags', () => {
  it.each([3, 5, 7])('with as many shards as masters, or more, each of %i masters serves some, and none much more than its share', (masters) => {
    for (let shards = masters; shards <= 64; shards++) {
      for (const queue of ['queue:orders', 'queue:shop:payments']) {
        const counts = Array.from({ length: masters }, () => 0);
        for (const tag of shardTags(queue, shards, slotOf)) counts[masterOf(slotOf(tag), masters)]!++;
        expect([shards, Math.min(...counts) >= 1]).toEqual([shards, true]);
        expect(Math.max(...counts)).toBeLessThanOrEqual(Math.ceil(shards / masters) + 1);
      }
    }
  });

  it('so it is with every number of masters up to that of the shards, or with more than 32 shards up to half of it', () => {
    for (const shards of [2, 4, 6, 9, 13, 31, 32, 33, 48, 100, 256]) {
      const slots = shardTags('queue:orders', shards, slotOf).map(slotOf);
      for (let masters = 1; masters <= (shards > 32 ? shards / 2 : shards); masters++) expect([shards, masters, new Set(slots.map((slot) => masterOf(slot, masters))).size]).toEqual([shards, masters, masters]);
    }
  });

  it('are the same in every process, all different, and begin with the name', () => {
    fc.assert(fc.property(name, fc.integer({ min: 1, max: 64 }), (queue, shards) => {
      const tags = shardTags(queue, shards, slotOf);
      expect(tags).toEqual(shardTags(queue, shards, slotOf));
      expect(new Set(tags).size).toBe(shards);
      expect(new Set(tags.map(slotOf)).size).toBe(shards);
      for (const [i, tag] of tags.entries()) expect(tag.startsWith(`${queue}/${i}`)).toBe(true);
    }), { numRuns: 60 });
  });

  it('of different names differ, and lie in different slots', () => {
    const slots = new Set(Array.from({ length: 1_000 }, (_, i) => slotOf(shardTags(`queue:q${i}`, 1, slotOf)[0]!)));
    expect(slots.size).toBeGreaterThan(900);
    fc.assert(fc.property(name, name, fc.integer({ min: 1, max: 16 }), (a, b, shards) => {
      fc.pre(a !== b);
      const mine = new Set(shardTags(a, shards, slotOf));
      expect(shardTags(b, shards, slotOf).filter((tag) => mine.has(tag))).toEqual([]);
    }), { numRuns: 60 });
  });
});
