import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WirePool } from '../../../libs/redis-streams/dist/redis/wire-pool.js';
import { WireRoom } from '../../../libs/redis-streams/dist/redis/wire-room.js';
import { WireWriter } from '../../../libs/redis-streams/dist/redis/wire-writer.js';

const MOST_BYTES = 4_194_304;
const TEXT = 'x'.repeat(50_000);

function writer(pool: WirePool): WireWriter {
  const room = new WireRoom();
  room.took(0, 60_000);
  const made = new WireWriter(room, pool);
  made.add(TEXT);
  return made;
}

/** Whether the next of its size is written where this one was. */
function isReused(pool: WirePool, { buffer }: { readonly buffer: ArrayBufferLike }): boolean {
  return writer(pool).bytes.buffer === buffer;
}

describe('WirePool', () => {
  it('gives what is large enough, and never to two at once', () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 600_000 }), fc.constantFrom(16_383, 16_384, 16_385, 32_768, 524_288, 524_289)), { maxLength: 60 }), (sizes) => {
      const pool = new WirePool();
      const out = new Set<Buffer>();
      for (const [i, size] of sizes.entries()) {
        const buffer = pool.take(size);
        expect(buffer.length).toBeGreaterThanOrEqual(size);
        expect(out.has(buffer)).toBe(false);
        out.add(buffer);
        const [oldest] = out;
        if (i % 3 !== 0) continue;
        out.delete(oldest!);
        pool.give(oldest!);
      }
    }));
  });

  it('keeps no more than 4 MiB, and nothing that is not of its sizes', () => {
    const pool = new WirePool();
    const given: Buffer[] = Array.from({ length: 20 }, () => Buffer.allocUnsafe(524_288));
    for (const buffer of given) pool.give(buffer);
    const kept = given.map(() => pool.take(524_288)).filter((buffer) => given.includes(buffer));
    expect(kept.length * 524_288).toBe(MOST_BYTES);
    const odd = Buffer.allocUnsafe(40_000);
    pool.give(odd);
    expect(pool.take(40_000)).not.toBe(odd);
  });
});

describe('WireWriter', () => {
  it('leaves its memory to the next when it was sent once', () => {
    const pool = new WirePool();
    const first = writer(pool);
    const sent = first.behind('head');
    expect(isReused(pool, sent)).toBe(false);
    first.release();
    expect(isReused(pool, sent)).toBe(true);
    first.release();
    expect(isReused(pool, sent)).toBe(false);
  });

  it('keeps it when it was sent more than once, or not at all: a copy may still be on its way out', () => {
    const pool = new WirePool();
    const twice = writer(pool);
    const sent = twice.behind('head');
    twice.behind('another head');
    twice.release();
    expect(isReused(pool, sent)).toBe(false);
    const unsent = writer(pool);
    const { bytes } = unsent;
    unsent.release();
    expect(isReused(pool, bytes)).toBe(false);
    expect(unsent.bytes.equals(bytes)).toBe(true);
  });

  it('leaves what it has outgrown to the next', () => {
    const pool = new WirePool();
    const growing = writer(pool);
    const { bytes } = growing;
    growing.add(TEXT);
    growing.add(TEXT);
    expect(growing.bytes.buffer).not.toBe(bytes.buffer);
    expect(isReused(pool, bytes)).toBe(true);
  });
});
