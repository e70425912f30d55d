import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodePayload, encodePayload, parseNotice } from '../../../libs/redis-streams/dist/kernel/room-wire.js';

const headers = fc.option(fc.dictionary(fc.string(), fc.string()), { nil: undefined });

it('data and headers come back as they were sent', () => {
  fc.assert(fc.property(fc.jsonValue(), headers, (data, given) => {
    const decoded = decodePayload(encodePayload(JSON.stringify(data), given));
    expect(JSON.stringify(decoded.data)).toBe(JSON.stringify(data));
    expect(Object.entries(decoded.headers)).toEqual(Object.entries(given ?? {}));
  }));
});

it('a message as a script publishes it is read as it was written', () => {
  fc.assert(fc.property(fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }), fc.nat(), fc.integer(), fc.nat({ max: 1_000 }), fc.nat(), fc.string(), (id, turn, priority, redelivery, sentAt, payload) => {
    expect(parseNotice(`m${turn} ${priority} ${id} ${redelivery} - ${sentAt} ${payload}`)).toEqual({ kind: 'message', message: { id: String(id), turn, priority, redelivery, sentAt, payload } });
  }));
});

it('knows ejections, acknowledgements that were not taken, the end of a room, and messages out of band', () => {
  expect(parseNotice('ename:1 123')).toEqual({ kind: 'ejected', session: 'name:1', id: '123' });
  expect(parseNotice('aname:1 123')).toEqual({ kind: 'again', session: 'name:1', turn: 123 });
  expect(parseNotice('x')).toEqual({ kind: 'removed' });
  expect(parseNotice('oid {"a": 1}')).toMatchObject({ kind: 'outOfBand', message: { id: 'id', payload: '{"a": 1}', turn: 0, sentAt: 0 } });
});

it('anything else is nothing, and never throws', () => {
  for (const text of ['', 'm', 'm1', 'm1 2 3 4', 'm1 2 3 4 -', 'm1 0 3 4 - ', 'mx 1 1 1 - 1 {}', 'o', 'o ', 'e', 'ea', 'ea b', 'a', 'as', 'as 1 2', 'a 1', 'xx', 'z', '\u0000']) expect([text, parseNotice(text)]).toEqual([text, undefined]);
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
    parseNotice(text);
    try {
      decodePayload(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }));
});
