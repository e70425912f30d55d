import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireRoom } from '../../../libs/redis-streams/dist/redis/wire-room.js';
import { WireWriter } from '../../../libs/redis-streams/dist/redis/wire-writer.js';
import { bulk } from '../../../libs/redis-streams/dist/redis/wire.js';

const texts = fc.array(fc.oneof(
  fc.constant(''),
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  // Around the lengths at which a length takes another digit, one byte or three bytes a character, and halves of pairs.
  fc.tuple(fc.constantFrom('x', 'é', '€', '\ud800', '😀'), fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 95, max: 105 }), fc.integer({ min: 990, max: 1_030 }), fc.integer({ min: 3_330, max: 3_340 }))).map(([unit, length]) => unit.repeat(length)),
), { maxLength: 40 });

function written(all: readonly string[], expected = 0): WireWriter {
  const room = new WireRoom();
  room.took(0, expected);
  const writer = new WireWriter(room);
  for (const text of all) writer.add(text);
  return writer;
}

describe('WireWriter', () => {
  it('writes what the protocol has, however long, in whatever script', () => {
    fc.assert(fc.property(texts, fc.constantFrom(0, 100, 100_000), (all, expected) => {
      const writer = written(all, expected);
      expect(writer.count).toBe(all.length);
      expect(writer.bytes.equals(Buffer.from(all.map(bulk).join('')))).toBe(true);
    }));
  });

  it('puts empty arguments around each group, and goes on behind them', () => {
    fc.assert(fc.property(texts, texts, fc.constantFrom([1, 4, 0], [2, 0, 1], [1, 1, 2]), (all, more, [width, before, after]) => {
      const groups = all.slice(0, all.length - (all.length % width!));
      const writer = written(groups);
      writer.widen(width!, before!, after!);
      for (const text of more) writer.add(text);
      const expected: string[] = [];
      const none = (count: number): string[] => Array.from({ length: count }, () => '');
      for (let i = 0; i < groups.length; i += width!) expected.push(...none(before!), ...groups.slice(i, i + width!), ...none(after!));
      expected.push(...more);
      expect(writer.count).toBe(expected.length);
      expect(writer.bytes.equals(Buffer.from(expected.map(bulk).join('')))).toBe(true);
    }));
  });

  it('stands behind any head; what was written before stays as it is', () => {
    fc.assert(fc.property(texts, fc.string({ unit: 'grapheme', maxLength: 900 }), fc.string({ maxLength: 900 }), (all, head, other) => {
      const writer = written(all);
      const first = writer.behind(head);
      const whole = Buffer.concat([Buffer.from(head), writer.bytes]);
      expect(first.equals(whole)).toBe(true);
      expect(writer.behind(other).equals(Buffer.concat([Buffer.from(other), writer.bytes]))).toBe(true);
      expect(first.equals(whole)).toBe(true);
    }));
  });

  it('tells when one call was sent more than once', () => {
    const writer = written(['a', 'b']);
    const resent: boolean[] = [];
    for (const head of ['EVALSHA', 'EVAL', 'EVALSHA', 'EVALSHA', 'EVAL']) {
      writer.behind(head);
      resent.push(writer.resent);
    }
    expect(resent).toEqual([false, false, false, true, true]);
  });

  it('copies nothing to more room when the one before was about as long, its head too', () => {
    const room = new WireRoom();
    const batch = (messages: number): { writer: WireWriter; memory: ArrayBufferLike } => {
      const writer = new WireWriter(room);
      const memory = writer.bytes.buffer;
      for (let i = 0; i < messages; i++) writer.add('x'.repeat(161));
      return { writer, memory };
    };
    const head = 'h'.repeat(2_000);
    batch(500).writer.behind(head);
    const { writer, memory } = batch(512);
    const sent = writer.behind(`${head}${'h'.repeat(100)}`);
    expect(sent.buffer).toBe(memory);
    expect(sent.length).toBe(2_100 + writer.bytes.length);
  });
});
