import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasControls, writeAscii } from '../../../libs/redis-streams/dist/kernel/characters.js';

const anything = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }));

describe('characters', () => {
  it('writes what is ASCII, as the runtime does, where it is told to, and nothing else', () => {
    fc.assert(fc.property(anything, fc.integer({ min: 0, max: 5 }), (text, at) => {
      const into = Buffer.alloc(at + text.length + 1, 0xff);
      // oxlint-disable-next-line no-control-regex -- that is what ASCII is
      const ascii = /^[\u0000-\u007f]*$/.test(text);
      expect(writeAscii(text, into, at)).toBe(ascii);
      expect(into[at + text.length]).toBe(0xff);
      if (!ascii) return;
      const expected = Buffer.alloc(into.length, 0xff);
      expected.write(text, at);
      expect(into.equals(expected)).toBe(true);
    }));
  });

  it('knows control characters as Unicode does', () => {
    fc.assert(fc.property(anything, (text) => {
      expect(hasControls(text)).toBe(/\p{Cc}/u.test(text));
    }));
  });
});
