import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../../../libs/redis-streams/dist/errors/index.js';
import { encode } from '../../../libs/redis-streams/dist/partition/encode.js';
import type { OutgoingMessage } from '../../../libs/redis-streams/dist/partition/types.js';

const problems = (message: unknown): string[] => {
  try {
    encode(message as OutgoingMessage, 4, 'messages[3]');
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionsError);
    return (error as InvalidOptionsError).problems.map(({ path }) => path).sort();
  }
  return [];
};

describe('encode', () => {
  it('a misspelt name does not pass for none: without its key a message has no order', () => {
    expect(problems({ Key: 'a', data: 1 })).toEqual(['messages[3].Key']);
    expect(problems({ key: 'a', dta: 1 })).toEqual(['messages[3].dta']);
    expect(problems({ key: 'a', data: 1, header: { a: 'b' }, partiton: 1 })).toEqual(['messages[3].header', 'messages[3].partiton']);
    expect(problems({ key: 5, data: 1n, headers: { a: 'b' }, more: 1 })).toEqual(['messages[3].data', 'messages[3].key', 'messages[3].more']);
    expect(problems(['a'])).toEqual(['messages[3].0']);
    expect(problems({ key: 'a', data: 1, headers: undefined, partition: undefined })).toEqual([]);
    expect(problems(Object.create({ inherited: 1 }, { data: { value: 1, enumerable: true } }))).toEqual([]);
  });

  it.each([new Map([['a', 'b']]), new Headers({ a: 'b' }), new URLSearchParams('a=b'), new Set(), ['a']])('headers that show no names of their own would get lost: refused (%#)', (headers) => {
    expect(problems({ data: 1, headers })).toEqual(['messages[3].headers']);
  });

  it('what is too much is refused, and told', () => {
    expect(problems({ data: 1, headers: { a: 'x'.repeat(16_777_216) } })).toEqual(['messages[3].headers']);
    expect(problems({ data: 'x'.repeat(16_777_216), headers: { a: 'b' }, partition: 4 })).toEqual(['messages[3].data', 'messages[3].partition']);
    expect(encode({ data: 'x'.repeat(16_777_214), headers: { a: 'x'.repeat(16_777_200) }, partition: 3 }, 4, '').headers).toHaveLength(16_777_208);
  });

  it('data is written down once, whatever goes with it', () => {
    let times = 0;
    const data = { toJSON: () => ++times };
    for (const more of [{}, { headers: { a: 'b' } }, { partition: 1 }]) expect(encode({ data, ...more }, 4, '').data).toBe(String(times));
    expect(times).toBe(3);
  });

  it('also data that is refused: the second time it may say something else', () => {
    let times = 0;
    const data = { toJSON: () => { if (++times === 1) throw new Error('first'); return 1; } };
    expect(problems({ data })).toEqual(['messages[3].data']);
  });

  it('each part is read once', () => {
    let times = 0;
    const { partition } = encode({ data: 1, get partition() { return ++times === 1 ? 3 : 99; } }, 4, '');
    expect([partition, times]).toEqual([3, 1]);
  });

  it('headers are what they show, not what they inherit', () => {
    const headers = Object.create({}, { id: { value: 'x', enumerable: true } }) as Record<string, string>;
    Object.defineProperty(Object.getPrototypeOf(headers) as object, 'toJSON', { value: () => undefined });
    expect(encode({ data: 1, headers }, 4, '').headers).toBe('{"id":"x"}');
  });

  it('headers of any object with texts are taken', () => {
    class Trace { readonly id = 'x'; }
    expect(encode({ data: 1, headers: new Trace() as unknown as Record<string, string> }, 4, '').headers).toBe('{"id":"x"}');
    expect(encode({ data: 1, headers: Object.assign(Object.create(null) as Record<string, string>, { a: 'b' }) }, 4, '').headers).toBe('{"a":"b"}');
  });
});
