import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkConsumerName, checkServiceName, checkStreamName, describe as describeValue } from '../../../libs/redis-streams/dist/keys/names.js';

const wrong = [undefined, null, 5, {}, [], '', ' ', 'a b', 'a{b}', 'a}', 'a\n', 'a\u0000', 'ä', 'x'.repeat(201), 'a*', 'a"', "a'"];

describe('names', () => {
  it.each(wrong)('no service: %j', (value) => { expect(checkServiceName(value, 'p')).toMatchObject([{ path: 'p' }]); });
  it.each([...wrong, 'a:b'])('no consumer: %j', (value) => { expect(checkConsumerName(value, 'p')).toHaveLength(1); });
  it.each(['a', 'order-service', 'Orders.v2', 'a:b', '0', 'x'.repeat(200)])('a service: %s', (value) => { expect(checkServiceName(value, 'p')).toEqual([]); });
  it.each(['pod-1', 'host.example.org', 'me@host', 'x'.repeat(200)])('a consumer: %s', (value) => { expect(checkConsumerName(value, 'p')).toEqual([]); });

  it('a stream is any key, up to 512 bytes', () => {
    expect(checkStreamName('{a}:b c\u0000ä', 'p')).toEqual([]);
    expect(checkStreamName('x'.repeat(512), 'p')).toEqual([]);
    expect(checkStreamName('ä'.repeat(257), 'p')).toHaveLength(1);
    expect(checkStreamName('', 'p')).toHaveLength(1);
  });

  it('describes anything shortly, and never throws', () => {
    fc.assert(fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }), (value) => { expect(describeValue(value).length).toBeLessThan(400); }));
    expect(describeValue(Symbol('x'))).toBe('a symbol');
  });
});
