import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal, RespReader, type Reply } from '../../../libs/redis-streams/dist/kernel/resp-reader.js';

/** Reads these chunks, one after the other. */
function read(...chunks: Buffer[]): Array<readonly [Reply, boolean]> {
  const reader = new RespReader();
  const frames: Array<readonly [Reply, boolean]> = [];
  for (const chunk of chunks) reader.push(chunk, (...frame) => frames.push(frame));
  return frames;
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const value = fc.letrec<{ any: [string, Reply] }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: 'binary' }).map((text): [string, Reply] => [bulk(text), text]),
    fc.integer().map((n): [string, Reply] => [`:${n}\r\n`, n]),
    fc.constantFrom<[string, Reply]>(['$-1\r\n', null], ['*-1\r\n', null], ['_\r\n', null], ['+OK\r\n', 'OK'], ['#t\r\n', 't'], [',1.5\r\n', '1.5'], ['=7\r\ntxt:abc\r\n', 'abc']),
    fc.tuple(fc.constantFrom('*', '>', '~'), fc.array(tie('any'), { maxLength: 4 })).map(([type, items]): [string, Reply] => [`${type}${items.length}\r\n${items.map(([text]) => text).join('')}`, items.map(([, reply]) => reply)]),
    fc.array(fc.tuple(tie('any'), tie('any')), { maxLength: 2 }).map((pairs): [string, Reply] => [`%${pairs.length}\r\n${pairs.flat().map(([text]) => text).join('')}`, pairs.flat().map(([, reply]) => reply)]),
  ),
})).any;

describe('what a server says', () => {
  it('is read as it is, wherever it is cut', () => {
    fc.assert(fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (said, cuts) => {
      const bytes = Buffer.from(said.map(([text]) => text).join(''));
      const at = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      expect(read(...chunks).map(([reply]) => reply)).toEqual(said.map(([, reply]) => reply));
    }));
  });

  it('byte by byte, too; and what was said unasked is told apart', () => {
    const bytes = Buffer.from(`>3\r\n${bulk('message')}${bulk('ä')}${bulk('{}')}*1\r\n:1\r\n`);
    expect(read(...Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual([[['message', 'ä', '{}'], true], [[1], false]]);
  });

  it('a refusal is one, in the words of the server', () => {
    const [[plain], [long]] = read(Buffer.from('-NOSCRIPT no\r\n!5\r\nERR x\r\n')) as [[Refusal, boolean], [Refusal, boolean]];
    expect([plain, long].every((reply) => reply instanceof Refusal)).toBe(true);
    expect([plain.message, long.message]).toEqual(['NOSCRIPT no', 'ERR x']);
  });

  it('what is no RESP throws', () => {
    for (const text of ['HTTP/1.1 200 OK\r\n', '$x\r\n', '*1\r\nabc', ':1x\r\n']) expect(() => read(Buffer.from(text))).toThrow('no RESP');
  });
});
