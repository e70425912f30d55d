import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { roomMatcher } from '../../../libs/redis-streams/dist/kernel/room-pattern.js';

/** The same by an expression: `*` is any characters. */
const plain = (pattern: string): RegExp => new RegExp(`^${pattern.split('*').map((piece) => piece.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('[^]*')}$`);
const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 12 });
const names = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });

it('a name without a star is that room; one with a star is a pattern', () => {
  expect(roomMatcher('lobby')).toMatchObject({ room: 'lobby', text: 'lobby' });
  expect(roomMatcher('game.*')).toMatchObject({ room: undefined, text: 'game.*' });
  expect(roomMatcher(/^a/)).toMatchObject({ room: undefined, text: '/^a/' });
});

it.each([
  ['*', '', true], ['*', 'x', true], ['a*', 'a', true], ['a*a', 'a', false], ['a*a', 'aa', true], ['a*b*c', 'a-c-b-c', true], ['a*b*c', 'acb', false], ['a**b', 'ab', true], ['*a*', 'bab', true], ['a*b*b', 'ab', false], ['.*', 'x', false],
])('%s fits %j: %s', (pattern, room, fits) => expect(roomMatcher(pattern).matches(room)).toBe(fits));

it('fits exactly what an expression with any characters for each star fits', () => {
  fc.assert(fc.property(letters, names, (pattern, room) => {
    expect(roomMatcher(pattern).matches(room)).toBe(plain(pattern).test(room));
  }), { numRuns: 2_000 });
});

it('is quick for patterns that make expressions slow', () => {
  const since = performance.now();
  expect(roomMatcher(`${'a*'.repeat(200)}b`).matches('a'.repeat(500))).toBe(false);
  expect(performance.now() - since).toBeLessThan(1_000);
});

it('an expression with a state fits the same room each time', () => {
  for (const flags of ['g', 'y', 'gi']) {
    const matcher = roomMatcher(new RegExp('^room', flags));
    expect([1, 2, 3].map(() => matcher.matches('room.1'))).toEqual([true, true, true]);
  }
});
