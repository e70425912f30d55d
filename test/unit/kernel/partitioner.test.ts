import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fnv1a, fnv1aPartitioner, murmur2, murmur2Partitioner, PARTITIONERS } from '../../../libs/redis-streams/dist/kernel/partitioner.js';

/** Kafka's Utils.murmur2, line for line, in numbers that cannot overflow. */
function plainMurmur2(text: string): number {
  const data = Buffer.from(text, 'utf8');
  const u32 = (n: bigint): bigint => n & 0xffffffffn;
  const m = 0x5bd1e995n;
  let h = u32(0x9747b28cn ^ BigInt(data.length));
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    let k = BigInt(data.readUInt32LE(i));
    k = u32(k * m);
    k ^= k >> 24n;
    k = u32(k * m);
    h = u32(h * m) ^ k;
  }
  const rest = data.length % 4;
  if (rest === 3) h ^= BigInt(data[i + 2]!) << 16n;
  if (rest >= 2) h ^= BigInt(data[i + 1]!) << 8n;
  if (rest >= 1) h = u32((h ^ BigInt(data[i]!)) * m);
  h ^= h >> 13n;
  h = u32(h * m);
  h ^= h >> 15n;
  return Number(BigInt.asIntN(32, h));
}

function plainFnv1a(text: string): number {
  let h = 2_166_136_261n;
  for (const byte of Buffer.from(text, 'utf8')) h = ((h ^ BigInt(byte)) * 16_777_619n) % 2n ** 32n;
  return Number(h);
}

const key = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ unit: 'grapheme', maxLength: 20 }), fc.string({ minLength: 300, maxLength: 1_100 }));

describe('murmur2', () => {
  it.each([
    ['21', -973_932_308], ['foobar', -790_332_482], ['a-little-bit-long-string', -985_981_536], ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971], ['abc', 479_470_107],
  ])('is what Kafka\'s own tests say: %s', (text, hash) => { expect(murmur2(text)).toBe(hash); });

  it('is Kafka\'s for any text', () => {
    expect(murmur2('')).toBe(plainMurmur2(''));
    fc.assert(fc.property(key, (text) => { expect(murmur2(text)).toBe(plainMurmur2(text)); }), { numRuns: 2_000 });
  });
});

describe('fnv1a', () => {
  it.each([['', 0x811c9dc5], ['a', 0xe40c292c], ['ab', 0x4d2505ca], ['abc', 0x1a47e90b], ['foobar', 0xbf9cf968]])('is what Go\'s hash/fnv says: "%s"', (text, hash) => {
    expect(fnv1a(text)).toBe(hash);
  });

  it('is Go\'s for any text', () => {
    fc.assert(fc.property(key, (text) => { expect(fnv1a(text)).toBe(plainFnv1a(text)); }), { numRuns: 2_000 });
  });
});

describe('both', () => {
  it('take keys beyond the first buffer, and short ones after them', () => {
    for (const text of ['ä'.repeat(2_000), '😀'.repeat(50_000), 'x', 'ä'.repeat(341), 'ä'.repeat(342), '']) {
      expect([murmur2(text), fnv1a(text)]).toEqual([plainMurmur2(text), plainFnv1a(text)]);
    }
  });

  it('see half a character as what arrives of it', () => {
    expect(murmur2('a\ud800b')).toBe(murmur2('a\ufffdb'));
    expect(fnv1a('\udc00')).toBe(fnv1a('\ufffd'));
  });

  it('name a partition of those there are, for every hash', () => {
    fc.assert(fc.property(key, fc.integer({ min: 1, max: 10_000 }), (text, partitions) => {
      for (const partitioner of Object.values(PARTITIONERS)) {
        const partition = partitioner(text, partitions);
        expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true);
      }
      expect(murmur2Partitioner(text, partitions)).toBe(Number(BigInt(plainMurmur2(text)) & 0x7fffffffn) % partitions);
      expect(fnv1aPartitioner(text, partitions)).toBe(plainFnv1a(text) % partitions);
    }), { numRuns: 1_000 });
  });

  it('spread numbered keys evenly', () => {
    for (const partitioner of Object.values(PARTITIONERS)) {
      const counts = Array.from({ length: 12 }, () => 0);
      for (let i = 0; i < 60_000; i++) counts[partitioner(`account-${i}`, 12)]!++;
      expect(Math.min(...counts)).toBeGreaterThan(4_500);
      expect(Math.max(...counts)).toBeLessThan(5_500);
    }
  });
});
