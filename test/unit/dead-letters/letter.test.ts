import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { letterOf, recordOf } from '../../../libs/redis-streams/dist/dead-letters/letter.js';
import type { DeadLetterKind } from '../../../libs/redis-streams/dist/dead-letters/types.js';

const KINDS: readonly DeadLetterKind[] = ['lease', 'partition', 'fanout', 'queue'];
const of = <K extends DeadLetterKind>(kind: K, ...flat: string[]) => letterOf(kind, { shard: 2, id: '1700000000000-3', fields: recordOf(flat) });

describe('a dead letter', () => {
  it('of a lease: its announcement, and what the last owner had', () => {
    const letter = of('lease', 'reason', 'max-attempts', 'error', 'no', 'stream', 's', 'entryId', '5-1', 'attempts', '4', 'failures', '3', 'owner', 'a:1', 'token', '77', 'checkpoint', '9-9', 'at', '1', 'entry.lbs-input', '{"DataStreamName":"s","Info":{"a":1}}');
    expect(letter).toMatchObject({
      kind: 'lease', entryId: '2:1700000000000-3', reason: 'max-attempts', error: 'no', attempts: 4, at: 1_700_000_000_000, key: 's', data: { a: 1 }, readable: true, headers: {},
      details: { stream: 's', id: '5-1', failures: 3, owner: 'a:1', token: 77, checkpoint: '9-9' },
    });
    expect(of('lease', 'reason', 'missing-field', 'entryId', '5-1')).toMatchObject({ readable: false, data: undefined, key: undefined, attempts: 0, details: { checkpoint: undefined, token: undefined } });
    expect(of('lease', 'reason', 'handlers own', 'entry.lbs-input', '{"DataStreamName":"named"}')).toMatchObject({ key: 'named', data: {}, readable: true });
  });

  it('of a partition: data, key and headers as the handler would have had them', () => {
    const letter = of('partition', 'reason', 'crashed', 'partition', '5', 'id', '1-1', 'attempts', '2', 'owner', 'a:1', 'token', '7', 'entry.key', 'k', 'entry.data', '"text"', 'entry.headers', '{"h":"1","n":2}');
    expect(letter).toMatchObject({ data: 'text', readable: true, key: 'k', headers: { h: '1' }, details: { partition: 5, id: '1-1', owner: 'a:1', token: 7 } });
    expect(of('partition', 'reason', 'invalid-json', 'entry.data', '{"bro', 'entry.key', 'k')).toMatchObject({ data: undefined, readable: false, key: 'k', fields: { 'entry.data': '{"bro' } });
    expect(of('partition', 'entry.data', 'null')).toMatchObject({ data: null, readable: true, reason: 'unknown', details: { partition: -1 } });
  });

  it('of a room: its message, and who went away over it', () => {
    expect(of('fanout', 'reason', 'all-ejected', 'room', 'r', 'id', '12', 'priority', '-3', 'sent', '99', 'tries', '4', 'who', 'a:1,b:2', 'entry', '{"x":1}\t{"h":"v"}')).toMatchObject({
      key: 'r', data: { x: 1 }, headers: { h: 'v' }, readable: true, attempts: 4, details: { room: 'r', id: '12', priority: -3, sentAt: 99, who: ['a:1', 'b:2'] },
    });
    expect(of('fanout', 'reason', 'unreadable', 'room', 'r', 'priority', '0', 'entry', '5')).toMatchObject({ readable: false, data: undefined, key: 'r', details: { id: undefined, who: [] } });
  });

  it('of a queue: with the id its sender gave it', () => {
    expect(of('queue', 'reason', 'max-attempts', 'queue', 'q', 'group', 'g', 'shard', '2', 'id', '3-0', 'attempts', '5', 'owner', 'a:1', 'entry.data', '[1]', 'entry.id', 'order-7', 'entry.key', 'k')).toMatchObject({
      data: [1], key: 'k', attempts: 5, details: { group: 'g', id: '3-0', sentId: 'order-7', owner: 'a:1' },
    });
  });

  it('the fields of the entry never pass for ours, whatever their names', () => {
    const letter = of('partition', 'reason', 'mine', 'entry.reason', 'theirs', 'entry.__proto__', 'x', '__proto__', 'y', 'reason', 'again');
    expect(letter.reason).toBe('mine');
    expect(Object.getPrototypeOf(letter.fields)).toBeNull();
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('anything that lies there becomes one', () => {
    fc.assert(fc.property(fc.constantFrom(...KINDS), fc.array(fc.oneof(fc.string(), fc.constantFrom('reason', 'entry', 'entry.data', 'entry.headers', 'entry.lbs-input', 'room', 'id', 'who', 'attempts'))), (kind, flat) => {
      const letter = of(kind, ...flat);
      expect([letter.kind, typeof letter.reason, typeof letter.attempts, typeof letter.readable]).toEqual([kind, 'string', 'number', 'boolean']);
    }));
  });
});
