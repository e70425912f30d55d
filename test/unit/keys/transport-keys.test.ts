import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPartName } from '../../../libs/redis-streams/dist/keys/names.js';
import { broadcastGroup, cancelChannel, eventName, nameOfRoute, repliesKey, requestName } from '../../../libs/redis-streams/dist/keys/transport-keys.js';

const route = fc.oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }), fc.stringMatching(/^[A-Za-z0-9._-]{1,60}$/));

describe('transport keys', () => {
  it('are spelled as documented', () => {
    expect(nameOfRoute('order.paid')).toBe('order.paid');
    expect(nameOfRoute('{"cmd":"sum"}')).toBe('_7b_22cmd_22_3a_22sum_22_7d');
    expect(nameOfRoute('a_b/é')).toBe('a_5fb_2f_c3_a9');
    expect([eventName('a'), requestName('a')]).toEqual(['event.a', 'request.a']);
    expect(repliesKey('shop', 'ab')).toBe('{transport:shop:ab}:replies');
    expect(cancelChannel('shop')).toBe('{transport:shop}:cancel');
    expect(broadcastGroup('mailer', '0123')).toBe('mailer.each.0123');
  });

  it('every pattern has a name of its own that streams, queues and groups may have, or none', () => {
    fc.assert(fc.property(route, route, (a, b) => {
      const names = [a, b].map(nameOfRoute);
      for (const name of names) if (name !== undefined) expect(checkPartName(eventName(name), 'name')).toEqual([]);
      if (a !== b && names[0] !== undefined) expect(names[0]).not.toBe(names[1]);
    }), { numRuns: 500 });
    expect(nameOfRoute('')).toBeUndefined();
    expect(nameOfRoute('x'.repeat(190))).toHaveLength(190);
    expect(nameOfRoute('x'.repeat(191))).toBeUndefined();
  });

  it('the script that opens the replies has one key, whose slot is its client\'s own', () => {
    const slots = new Set(Array.from({ length: 1_000 }, (_, i) => calculateSlot(repliesKey('transport', `client${i}`))));
    expect(slots.size).toBeGreaterThan(900);
  });
});
