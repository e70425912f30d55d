import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XreadParser, type XreadReply } from '../../../libs/redis-streams/dist/kernel/xread-parser.js';

type Fields = ReadonlyArray<readonly [name: string, value: string]>;
type Streams = ReadonlyArray<readonly [stream: string, entries: ReadonlyArray<readonly [id: string, fields: Fields]>]>;

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const list = (items: readonly string[]): string => `*${items.length}\r\n${items.join('')}`;
const encode = (streams: Streams): Buffer => Buffer.from(list(streams.map(([name, entries]) => list([bulk(name), list(entries.map(([id, fields]) => list([bulk(id), list(fields.flat().map(bulk))])))]))));

/** What the parser is to make of it. */
function meant(streams: Streams): XreadReply {
  const last = (fields: Fields, wanted: string): string | undefined => fields.filter(([name]) => name === wanted).at(-1)?.[1];
  return {
    streams: new Map(streams.map(([name, entries]) => [name, entries.map(([id, fields]) => {
      const other = fields.filter(([field]) => !['key', 'data', 'headers'].includes(field)).flat();
      return { id, key: last(fields, 'key'), data: last(fields, 'data'), headers: last(fields, 'headers'), other: other.length > 0 ? other : undefined };
    })])),
  };
}

/** Feeds the pieces; every reply with the number of the piece that completed it. */
function feed(pieces: readonly Buffer[], parser = new XreadParser()): Array<[piece: number, reply: XreadReply]> {
  const replies: Array<[number, XreadReply]> = [];
  for (const [i, piece] of pieces.entries()) {
    for (let reply = parser.push(piece); reply; reply = parser.push(Buffer.alloc(0))) replies.push([i, reply]);
  }
  return replies;
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...[...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, i) => bytes.subarray(places[i], place));
}

const text = fc.oneof({ weight: 4, arbitrary: fc.string({ maxLength: 20 }) }, { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 8 }) }, { weight: 1, arbitrary: fc.constantFrom('\r\n', '$5\r\nabcde\r\n', '*-1\r\n', '-ERR x\r\n', '', '\0', 'ä€😀') });
const name = fc.oneof({ weight: 5, arbitrary: fc.constantFrom('key', 'data', 'headers') }, { weight: 2, arbitrary: fc.constantFrom('kex', 'ke', 'keys', 'dat', 'Data', 'header', 'at') }, { weight: 1, arbitrary: text });
const id = fc.tuple(fc.nat(), fc.nat()).map(([ms, seq]) => `${ms}-${seq}`);
const entry = fc.tuple(id, fc.array(fc.tuple(name, text), { maxLength: 5 }));
const reply: fc.Arbitrary<Streams> = fc.uniqueArray(fc.tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), fc.array(entry, { maxLength: 4 })), { selector: ([stream]) => stream, maxLength: 4 });

const SAMPLE: Streams = [
  ['{pay/0}:0', [['1700000000000-0', [['key', 'account-1'], ['data', '{"a":1}']]], ['1700000000000-1', [['data', 'null'], ['headers', '{"x":"ä"}']]]]],
  ['{pay/0}:1', [['5-0', [['key', ''], ['data', ''], ['foreign', '\r\n$3\r\n'], ['😀', '€']]]]],
];

describe('XreadParser', () => {
  it('reads a reply cut in two at any byte, and not before its last one', () => {
    const bytes = encode(SAMPLE);
    for (let at = 0; at <= bytes.length; at++) {
      const replies = feed([bytes.subarray(0, at), bytes.subarray(at)]);
      expect([at, replies]).toEqual([at, [[at === bytes.length ? 0 : 1, meant(SAMPLE)]]]);
    }
  });

  it('reads it byte by byte, again and again on one connection', () => {
    const parser = new XreadParser();
    for (let round = 0; round < 3; round++) {
      const bytes = encode(SAMPLE);
      expect(feed([...bytes].map((byte) => Buffer.from([byte])), parser)).toEqual([[bytes.length - 1, meant(SAMPLE)]]);
    }
  });

  it('any reply, cut anywhere: the same messages', () => {
    fc.assert(fc.property(reply, fc.array(fc.nat(), { maxLength: 12 }), (streams, places) => {
      expect(feed(cut(encode(streams), places)).map(([, found]) => found)).toEqual([meant(streams)]);
    }), { numRuns: 1_000 });
  });

  it('several replies in a row, cut anywhere: each complete with its own last byte', () => {
    const nothing = fc.constantFrom('*-1\r\n', '$-1\r\n');
    const error = fc.constantFrom('NOAUTH Authentication required.', 'MOVED 3999 127.0.0.1:6381', 'ERR ä');
    const any = fc.oneof(reply.map((streams) => [encode(streams), meant(streams)] as const), nothing.map((said) => [Buffer.from(said), { streams: new Map() }] as const), error.map((said) => [Buffer.from(`-${said}\r\n`), { streams: new Map(), error: said }] as const));
    fc.assert(fc.property(fc.array(any, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { maxLength: 20 }), (replies, places) => {
      const bytes = Buffer.concat(replies.map(([said]) => said));
      const pieces = cut(bytes, places);
      const found = feed(pieces);
      expect(found.map(([, got]) => got)).toEqual(replies.map(([, wanted]) => wanted));
      const ends = pieces.map((_, i) => pieces.slice(0, i + 1).reduce((sum, piece) => sum + piece.length, 0));
      let end = 0;
      for (const [i, [said]] of replies.entries()) {
        end += said.length;
        expect(found[i]![0]).toBe(ends.findIndex((place) => place >= end));
      }
    }), { numRuns: 500 });
  });

  it('a key of two names, and one that is nearly ours, are not mixed up', () => {
    const streams: Streams = [['s', [['1-0', [['keyx', '1'], ['ke', '2'], ['Key', '3'], ['data', '4'], ['dat\u0430', '5']]]]]];
    expect(feed([encode(streams)])[0]![1]).toEqual(meant(streams));
  });

  it('an empty read, an entry without fields, a stream without entries', () => {
    for (const said of ['*-1\r\n', '$-1\r\n', '*0\r\n']) expect(feed([Buffer.from(said)])).toEqual([[0, { streams: new Map() }]]);
    const streams: Streams = [['s', [['1-0', []]]], ['t', []]];
    expect(feed([encode(streams)])[0]![1]).toEqual(meant(streams));
  });

  it('16 MiB in pieces of 2 KiB costs about what it weighs, in one message or in many', () => {
    const inPieces = (bytes: Buffer): Buffer[] => Array.from({ length: Math.ceil(bytes.length / 2_048) }, (_, i) => bytes.subarray(i * 2_048, (i + 1) * 2_048));
    const one: Streams = [['s', [['1-0', [['key', 'k'], ['data', 'x'.repeat(16_777_216)]]]]]];
    const many: Streams = [['s', Array.from({ length: 20_000 }, (_, i) => [`${i}-0`, [['key', `k${i}`], ['data', 'x'.repeat(800)]]] as const)]];
    for (const streams of [one, many]) {
      const pieces = inPieces(encode(streams));
      const startedAt = performance.now();
      const [found] = feed(pieces);
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      expect(found![1].streams.get('s')).toHaveLength(streams[0]![1].length);
    }
  });

  it.each(['+OK\r\n', ':5\r\n', '%1\r\n', 'HTTP/1.1 400 Bad Request\r\n', '*1\r\n+OK\r\n', '*1\r\n*2\r\n:1\r\n', '*1\r\n*2\r\n$1\r\ns\r\n$-1\r\n', '*1\r\n*2\r\n$1\r\ns\r\n*1\r\n$1\r\nx\r\n', '*x\r\n', '*1\r\n*2\r\n$1x\r\ns\r\n', '*1\r\n*2\r\n$-1\r\n*0\r\n'])('refuses what is no reply to XREAD: %j', (said) => {
    expect(() => feed([Buffer.from(said)])).toThrow();
    expect(() => feed([...Buffer.from(said)].map((byte) => Buffer.from([byte])))).toThrow();
  });

  it('never hangs, whatever the bytes', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('*', '$', '-', ':', '1', '2', '0', '9', '\r\n', '\r', '\n', 'a', 'key'), { maxLength: 30 }), fc.array(fc.nat(), { maxLength: 5 }), (tokens, places) => {
      const parser = new XreadParser();
      try {
        for (const piece of cut(Buffer.from(tokens.join('')), places)) for (let i = 0; i < 100 && parser.push(i === 0 ? piece : Buffer.alloc(0)); i++);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }), { numRuns: 1_000 });
  });
});
