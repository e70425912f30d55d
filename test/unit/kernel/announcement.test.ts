import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAnnouncement, encodeAnnouncement, nestingDepth } from '../../../libs/redis-streams/dist/kernel/announcement.js';

const decode = (payload: string | Buffer, depth = 64) => decodeAnnouncement(Buffer.from(payload as string), depth);
const reason = (payload: string | Buffer, depth?: number) => {
  const result = decode(payload, depth);
  return result.ok ? 'accepted' : result.reason;
};
const wellFormed = (text: string): boolean => Buffer.from(text).toString() === text;

describe('decodeAnnouncement', () => {
  it('reads what encodeAnnouncement wrote', () => {
    const info = fc.dictionary(fc.string().filter((key) => key !== '__proto__'), fc.jsonValue({ maxDepth: 5 })).filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(fc.property(fc.string({ minLength: 1, unit: 'binary' }).filter(wellFormed), info, (stream, value) => {
      expect(decode(encodeAnnouncement(stream, value))).toEqual({ ok: true, stream, info: JSON.parse(JSON.stringify(value)) });
    }));
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const result = decode(Buffer.from(bytes));
      expect(typeof result.ok).toBe('boolean');
    }), { numRuns: 2_000 });
  });

  it('never throws on almost-JSON, and accepts only a name with a plain object', () => {
    const token = fc.constantFrom('{', '}', '[', ']', ':', ',', '"DataStreamName"', '"Info"', '"s"', '""', 'null', '1', 'true', '"__proto__"', '"\\u005f_proto__"', '\\', '"', ' ');
    fc.assert(fc.property(fc.array(token, { maxLength: 25 }), (tokens) => {
      const result = decode(tokens.join(''));
      if (!result.ok) return;
      expect(result.stream.length).toBeGreaterThan(0);
      expect(Object.getPrototypeOf(result.info)).toBe(Object.prototype);
      expect(Object.hasOwn(result.info, '__proto__')).toBe(false);
    }), { numRuns: 5_000 });
  });

  it.each([
    ['invalid-utf8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['invalid-utf8', Buffer.concat([Buffer.from('{"DataStreamName":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])],
    ['invalid-json', ''], ['invalid-json', '{'], ['invalid-json', '{"DataStreamName":"s"} x'], ['invalid-json', '{"DataStreamName":"s",}'], ['invalid-json', 'NaN'],
    ['missing-stream-name', 'null'], ['missing-stream-name', '[]'], ['missing-stream-name', '"s"'], ['missing-stream-name', '{}'],
    ['missing-stream-name', '{"DataStreamName":""}'], ['missing-stream-name', '{"DataStreamName":["s"]}'], ['missing-stream-name', '{"datastreamname":"s"}'],
    ['invalid-info', '{"DataStreamName":"s","Info":[]}'], ['invalid-info', '{"DataStreamName":"s","Info":"x"}'], ['invalid-info', '{"DataStreamName":"s","Info":0}'],
    ['forbidden-key', '{"DataStreamName":"s","__proto__":{"a":1}}'],
    ['forbidden-key', '{"DataStreamName":"s","Info":{"a":[{"b":{"__proto__":null}}]}}'],
    ['forbidden-key', '{"DataStreamName":"s","Info":{"\\u005f\\u005fproto__":1}}'],
  ] as const)('%s: %s', (expected, payload) => {
    expect(reason(payload)).toBe(expected);
  });

  it('takes the word itself as a value, or a name', () => {
    expect(reason('{"DataStreamName":"__proto__","Info":{"a":"__proto__"}}')).toBe('accepted');
  });

  it('takes the last of two equal keys, as the server does', () => {
    expect(decode('{"DataStreamName":"a","DataStreamName":"b","Info":{"x":1,"x":2}}')).toEqual({ ok: true, stream: 'b', info: { x: 2 } });
  });

  it('bounds the depth exactly, and at once even for 50,000 levels', () => {
    const deep = (levels: number): string => `{"DataStreamName":"s","Info":${'{"a":'.repeat(levels - 1)}1${'}'.repeat(levels - 1)}}`;
    expect(reason(deep(10), 10)).toBe('accepted');
    expect(reason(deep(11), 10)).toBe('too-deep');
    const startedAt = performance.now();
    for (const open of ['[', '{"a":', '[{"a":']) expect(reason(`{"DataStreamName":"s","Info":${open.repeat(50_000)}`)).toBe('too-deep');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('counts no brackets within strings', () => {
    expect(nestingDepth('{"a":"[[[[\\"[[["}')).toBe(1);
    expect(nestingDepth('[[],[[]]]')).toBe(3);
    expect(nestingDepth(']]]][')).toBeLessThanOrEqual(1);
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      const depth = (v: unknown): number => (typeof v === 'object' && v !== null ? 1 + Math.max(0, ...Object.values(v).map(depth)) : 0);
      expect(nestingDepth(JSON.stringify(value))).toBe(depth(value));
    }));
  });
});
