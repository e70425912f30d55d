import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../../../libs/redis-streams/dist/errors/index.js';
import { encode, encodeMessage } from '../../../libs/redis-streams/dist/queue/encode.js';
import type { QueueSendOptions } from '../../../libs/redis-streams/dist/queue/types.js';

const parts = ({ data, key, headers, id, delay, plain }: ReturnType<typeof encode>) => ({ data, key, headers, id, delay, plain });
const problems = (call: () => unknown): string[] => {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionsError);
    return (error as InvalidOptionsError).problems.map(({ path }) => path).sort();
  }
  return [];
};

describe('encode', () => {
  it('data alone is plain; undefined travels as null', () => {
    expect(parts(encode({ a: 1 }))).toEqual({ data: '{"a":1}', key: '', headers: '', id: '', delay: '', plain: true });
    expect(encode(undefined).data).toBe('null');
    expect(encode(1, {}).plain).toBe(true);
    expect(encodeMessage({ data: 1 }, 0).plain).toBe(true);
    expect(encode(1, { headers: {}, delayMs: 0 }).plain).toBe(true);
  });

  it('everything else makes it more than plain', () => {
    expect(parts(encode('x', { key: 'k', headers: { a: 'b' }, id: 'i', delayMs: 1.5 }))).toEqual({ data: '"x"', key: 'k', headers: '{"a":"b"}', id: 'i', delay: '2', plain: false });
    for (const option of [{ key: 'k' }, { headers: { a: 'b' } }, { id: 'i' }, { delayMs: 0.1 }] satisfies QueueSendOptions[]) expect([encode(1, option).plain, encodeMessage({ data: 1, ...option }, 0).plain]).toEqual([false, false]);
  });

  it('reports every problem at once, where it is', () => {
    const bad = { headers: { a: 1 }, id: '', key: 5, delayMs: -1, delay: 3 } as unknown as QueueSendOptions;
    expect(problems(() => encode(1n, bad))).toEqual(['data', 'delay', 'delayMs', 'headers', 'id', 'key']);
    expect(problems(() => encode(1, { headers: new Map([['a', 'b']]) } as unknown as QueueSendOptions))).toEqual(['headers']);
    expect(problems(() => encodeMessage({ data: 1n, ...bad }, 3))).toEqual(['data', 'delay', 'delayMs', 'headers', 'id', 'key'].map((key) => `messages[3].${key}`));
    expect(problems(() => encodeMessage({ dat: 1 } as never, 0))).toEqual(['messages[0].dat']);
    expect(problems(() => encodeMessage(null as never, 0))).toEqual(['messages[0]']);
    expect(problems(() => encode(1, null as never))).toEqual(['options']);
    expect(problems(() => encode(1n))).toEqual(['data']);
    expect(problems(() => encode('x'.repeat(16_777_215)))).toEqual(['data']);
    expect(problems(() => encode(1, { headers: { h: 'x'.repeat(16_777_215) } }))).toEqual(['headers']);
    expect(problems(() => encode(1, { headers: { h: 'x'.repeat(10_000_000) } }))).toEqual([]);
    for (const none of [[], new Map(), 'id', 5]) expect(problems(() => encode(1, none as never))).toEqual(['options']);
  });

  it.each(['', 'x'.repeat(1_025), 'a\n', 'a\0', '\u0085', '\ud800', 7, null])('%j is neither key nor id', (name) => {
    expect(problems(() => encode(1, { key: name, id: name } as never))).toEqual(['id', 'key']);
  });

  it.each([NaN, -1, Infinity, 31_536_000_001, '5', null])('a delay of %s is none', (delayMs) => { expect(problems(() => encode(1, { delayMs } as never))).toEqual(['delayMs']); });

  it('data is asked for its JSON once, whatever goes with it: the second time it may say something else, or throw', () => {
    for (const more of [undefined, {}, { headers: { a: 'b' } }, { id: 'x' }]) {
      let times = 0;
      const data = { toJSON: () => { if (++times > 1) throw new Error('again'); return 1; } };
      expect(encode(data, more).size).toBeGreaterThan(0);
      let first = 0;
      const late = { toJSON: () => { if (++first === 1) throw new Error('first'); return 1; } };
      expect(problems(() => encode(late, more))).toEqual(['data']);
    }
    let times = 0;
    expect(encodeMessage({ data: { toJSON: () => ++times }, key: 'k' }, 0).data).toBe('1');
    const thrown = { toJSON: () => { throw null; } }; // oxlint-disable-line no-throw-literal
    expect(problems(() => encode(thrown))).toEqual(['data']);
  });

  it('headers are what they show, not what they inherit', () => {
    class Trace { readonly id = 'x'; toJSON(): undefined { return undefined; } }
    Object.defineProperty(Trace.prototype, 'toJSON', { enumerable: false });
    expect(parts(encode(1, { headers: new Trace() as unknown as Record<string, string> }))).toMatchObject({ headers: '{"id":"x"}' });
  });

  it('its size is what it weighs', () => {
    fc.assert(fc.property(fc.string(), fc.stringMatching(/^[a-z]{1,20}$/), (data, key) => {
      const item = encode(data, { key });
      expect(item.size).toBeGreaterThanOrEqual(JSON.stringify(data).length + key.length);
      expect(item.bytes).toBeGreaterThanOrEqual(Buffer.byteLength(JSON.stringify(data)) + key.length);
    }));
  });
});
