import { Buffer } from 'node:buffer';
import { expect, it } from 'vitest';
import { deeperThan } from '../../../libs/redis-streams/src/kernel/depth.js';
import { Codec, UndecodableError } from '../../../libs/redis-streams/src/transport/codec.js';

/** So many arrays, each of which holds the one before it twice, by msgpackr's extensions for references. */
function twins(levels: number): string {
  const named = (id: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([0xd6, 0x69, 0, 0, 0, id]), value]);
  const named1 = named(1, Buffer.from([0x92, 1, 1]));
  const parts = [named1];
  for (let id = 2; id <= levels; id++) {
    const before = Buffer.from([0xd6, 0x70, 0, 0, 0, id - 1]);
    parts.push(named(id, Buffer.concat([Buffer.from([0x92]), before, before])));
  }
  return Buffer.concat([Buffer.from([0xdc, 0, levels]), ...parts]).toString('base64');
}

it('refuses msgpack with references: a short one is a tree that cannot be walked', async () => {
  const codec = new Codec({ codec: 'msgpack', maxBytes: 1_000, maxDepth: 64 });
  await codec.load();
  expect(() => codec.decode(twins(18), 'msgpack')).toThrow(UndecodableError);
});

it('does not look at every byte of a buffer', () => {
  const data = { bytes: Buffer.alloc(8_000_000) };
  const began = performance.now();
  expect(deeperThan(data, 64)).toBe(false);
  expect(deeperThan(data, 1)).toBe(true);
  expect(performance.now() - began).toBeLessThan(200);
});
