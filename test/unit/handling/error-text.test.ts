import { expect, it } from 'vitest';
import { errorText, plainText } from '../../../libs/redis-streams/dist/handling/error-text.js';

const withMessage = (message: unknown): Error => Object.assign(new Error('x'), { message });

it('is a text, whatever the message is', () => {
  expect(errorText(new Error('broken'))).toBe('broken');
  expect(errorText(undefined)).toBe('');
  for (const message of [['name is empty', 'age is negative'], { a: 1 }, 5, null, undefined, Symbol('s'), Object.create(null)]) expect(typeof errorText(withMessage(message))).toBe('string');
  expect(errorText(withMessage(['name is empty', 'age is negative']))).toBe('name is empty,age is negative');
  expect(errorText(Object.defineProperty(new Error('x'), 'message', { get: () => { throw new Error('none'); } }))).toBe('an error without a text');
  expect(plainText(['a', 'b'])).toBe('a,b');
});

it('is of a bounded length', () => {
  expect(errorText(new Error('x'.repeat(100_000)))).toHaveLength(2_000);
});
