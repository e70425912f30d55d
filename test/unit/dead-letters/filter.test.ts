import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkReplayOptions, letterIdOf, resolveFilter, resolveQuery, resolveSelection, textOf } from '../../../libs/redis-streams/dist/dead-letters/filter.js';
import { letterOf } from '../../../libs/redis-streams/dist/dead-letters/letter.js';
import type { DeadLetter, DeadLetterFilter, DeadLetterSelection } from '../../../libs/redis-streams/dist/dead-letters/types.js';

const letter = (fields: Record<string, string>, at = 1_000): DeadLetter => letterOf('partition', { shard: 0, id: `${at}-0`, fields });
const lets = (filter: DeadLetterFilter, of: DeadLetter): boolean => resolveFilter(filter).matches(of);

describe('a filter', () => {
  const timeout = letter({ reason: 'max-attempts', 'entry.key': 'a' });

  it('lets everything through when it says nothing', () => {
    expect(lets({}, timeout)).toBe(true);
    expect(resolveFilter().matches(letter({}))).toBe(true);
  });

  it('goes by reason and key, one or several; a letter without a key has none of them', () => {
    expect([lets({ reason: 'max-attempts' }, timeout), lets({ reason: ['crashed', 'max-attempts'] }, timeout), lets({ reason: 'crashed' }, timeout), lets({ reason: [] }, timeout)]).toEqual([true, true, false, false]);
    expect([lets({ key: 'a' }, timeout), lets({ key: ['b', 'a'] }, timeout), lets({ key: 'b' }, timeout), lets({ key: '' }, letter({}))]).toEqual([true, true, false, false]);
  });

  it('goes by time, half-open', () => {
    expect([999, 1_000, 1_001].map((since) => lets({ since }, timeout))).toEqual([true, true, false]);
    expect([1_000, 1_001].map((until) => lets({ until: new Date(until) }, timeout))).toEqual([false, true]);
    expect(lets({ since: 1_000, until: 1_000 }, timeout)).toBe(false);
  });

  it('asks `where` last, and only then', () => {
    const asked: string[] = [];
    const where = ({ reason }: DeadLetter): boolean => (asked.push(reason), reason === 'max-attempts');
    expect([lets({ where }, timeout), lets({ where }, letter({ reason: 'x' })), lets({ where, key: 'z' }, timeout)]).toEqual([true, false, false]);
    expect(asked).toEqual(['max-attempts', 'x']);
  });

  it.each([({ reason }: DeadLetter) => reason === 'x', ['max-attempts'], new Map([['reason', 'x']]), 'x', 5, true, null])('is an object: %s does not let everything through', (filter) => {
    expect(() => resolveFilter(filter as DeadLetterFilter)).toThrow(expect.objectContaining({ name: 'InvalidOptionsError', problems: expect.arrayContaining([expect.objectContaining({ path: 'filter' })]) as unknown }));
  });

  it.each([
    [{ reason: 5 }, 'filter.reason'], [{ key: [1] }, 'filter.key'], [{ since: 'yesterday' }, 'filter.since'], [{ since: new Date('no') }, 'filter.since'], [{ until: -1 }, 'filter.until'],
    [{ where: true }, 'filter.where'], [{ reasons: 'a' }, 'filter.reasons'],
  ])('is refused when it is wrong: %j', (filter, path) => {
    expect(() => resolveFilter(filter as DeadLetterFilter)).toThrow(expect.objectContaining({ name: 'InvalidOptionsError', problems: [expect.objectContaining({ path })] }));
  });
});

describe('a selection', () => {
  it('is one id, several without repetitions, or a filter', () => {
    expect(resolveSelection('1:5-0', 2)).toEqual({ ids: [{ shard: 1, id: '5-0' }] });
    expect(resolveSelection(['0:5-0', '5-0', '0:5-0', '0:6-1'], 1)).toEqual({ ids: [{ shard: 0, id: '5-0' }, { shard: 0, id: '6-1' }] });
    expect(resolveSelection([], 1)).toEqual({ ids: [] });
    expect(resolveSelection({}, 1)).toMatchObject({ limit: Infinity, filter: { since: 0, until: Infinity } });
    expect(resolveSelection({ filter: { since: 7 }, limit: 3 }, 1)).toMatchObject({ limit: 3, filter: { since: 7 } });
  });

  it.each([undefined, null, 5, 'all', '', '5', '0:5', '2:5-0', '0:5-0-0', ['x'], { limit: 0 }, { limit: 1.5 }, { ids: [] }, { filter: { reason: 1 } }, { filter: [] }, { filter: () => false }, new Set(['0:5-0']), new Map()])('nothing else passes for one, least of all for everything: %j', (selection) => {
    expect(() => resolveSelection(selection as DeadLetterSelection, 2)).toThrow(expect.objectContaining({ name: 'InvalidOptionsError' }));
  });

  it('of a source with several shards every id names its own', () => {
    expect(() => letterIdOf('5-0', 2, 'x')).toThrow(/"shard:id"/);
    fc.assert(fc.property(fc.nat(255), fc.maxSafeNat(), fc.nat(), (shard, ms, sequence) => {
      const id = { shard, id: `${ms}-${sequence}` };
      expect(letterIdOf(textOf(id), 256, 'x')).toEqual(id);
    }));
  });
});

describe('a query and options', () => {
  it('have the documented defaults', () => {
    expect(resolveQuery({}, 1)).toMatchObject({ newest: true, limit: 100, after: undefined });
    expect(resolveQuery({ order: 'oldest', after: '0:1-0', limit: 7 }, 1)).toMatchObject({ newest: false, limit: 7, after: { shard: 0, id: '1-0' } });
  });

  it('report everything that is wrong', () => {
    expect(() => resolveQuery({ order: 'first', limit: 0, offset: 3 } as object, 1)).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ path: 'offset' }), expect.objectContaining({ path: 'order' }), expect.objectContaining({ path: 'limit' })] }));
    expect(() => checkReplayOptions({ by: '', perSecond: 0 }, ['by', 'perSecond'])).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ path: 'by' }), expect.objectContaining({ path: 'perSecond' })] }));
    expect(() => checkReplayOptions({ perSecond: 1 }, ['by'])).toThrow(/is not an option/);
    for (const given of [null, 5, 'ann', []]) {
      expect(() => resolveQuery(given as object, 1)).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ path: 'query' })] }));
      expect(() => checkReplayOptions(given as object, ['by'])).toThrow(expect.objectContaining({ problems: [expect.objectContaining({ path: 'options' })] }));
    }
  });
});
