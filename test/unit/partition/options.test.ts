import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareStreamIds } from '../../../libs/redis-streams/dist/kernel/stream-id.js';
import { idBefore, resolvePartitionDefaults, resolvePartitionOptions, resolvePartitionTuning } from '../../../libs/redis-streams/dist/partition/options.js';

const base = resolvePartitionDefaults().value;
const context = { connections: ['default', 'second'], exclusive: true, path: 'x' };
const resolve = (input: object, defaults = base, over: object = {}) => resolvePartitionOptions({ stream: 's', group: 'g', ...input }, defaults, { ...context, ...over });
const paths = (problems: ReadonlyArray<{ path: string }>): string[] => problems.map(({ path }) => path).sort();
const MAX = 18_446_744_073_709_551_615n;

describe('partition options', () => {
  it('defaults are as documented', () => {
    expect(base).toEqual({
      namespace: undefined, registrationWaitMs: 5_000, concurrency: 1, prefetch: 256, batch: undefined, ack: 'auto', maxProcessingMs: 300_000, maxAttempts: 5, maxCrashes: 5, startFrom: '0-0', rejoinMs: 0,
      backoff: { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 },
    });
    expect(resolve({})).toEqual({ problems: [], value: { ...resolvePartitionTuning({}, 'x').value, stream: 's', group: 'g', connection: 'default' } });
  });

  it('a consumer\'s own win over the module\'s, one by one', () => {
    const module_ = resolvePartitionDefaults({ namespace: 'ns', concurrency: 7, ack: 'manual', batch: 20, startFrom: 'latest', retry: { initialMs: 5, factor: 3, maxAttempts: 9 } }).value;
    const { value, problems } = resolve({ ack: 'auto', retry: { factor: 1 }, startFrom: 'earliest', connection: 'second' }, module_);
    expect(problems).toEqual([]);
    expect(value).toMatchObject({ stream: 'ns:s', connection: 'second', concurrency: 7, batch: 20, ack: 'auto', startFrom: '0-0', maxAttempts: 9, backoff: { initialMs: 5, factor: 1, maxMs: 60_000 } });
    expect(resolve({ namespace: 'other' }, module_).value.stream).toBe('other:s');
  });

  it('reports every problem at once, each with its path and what is allowed', () => {
    const { problems } = resolve({
      stream: 'a b', group: 'g:h', namespace: '', connection: 'third', concurrency: 0, prefetch: 1.5, batch: 0, ack: 'maybe', maxProcessingMs: 9, maxCrashes: 2, startFrom: 'first', rejoinMs: -1, concurency: 2,
      retry: { maxAttempts: 0, initialMs: -1, factor: 0.5, maxMs: 'x', jitter: 2, atempts: 5 },
    });
    expect(paths(problems)).toEqual([
      'x.ack', 'x.batch', 'x.concurency', 'x.concurrency', 'x.connection', 'x.group', 'x.maxCrashes', 'x.maxProcessingMs', 'x.namespace', 'x.prefetch', 'x.rejoinMs',
      'x.retry.atempts', 'x.retry.factor', 'x.retry.initialMs', 'x.retry.jitter', 'x.retry.maxAttempts', 'x.retry.maxMs', 'x.startFrom', 'x.stream',
    ]);
    for (const { message } of problems) expect(message).toMatch(/must be|is not an option/);
  });

  it('defaults of all consumers are checked alike', () => {
    const { problems } = resolvePartitionDefaults({ namespace: 'a:b', registrationWaitMs: -1, prefetch: 0, stream: 's' } as never);
    expect(paths(problems)).toEqual(['partition.namespace', 'partition.prefetch', 'partition.registrationWaitMs', 'partition.stream']);
  });

  it('checks relations: the backoff\'s bounds, a seat without a name', () => {
    expect(paths(resolve({ retry: { initialMs: 5_000, maxMs: 4_999 } }).problems)).toEqual(['x.retry.maxMs']);
    expect(resolve({ retry: { initialMs: 120_000 } })).toMatchObject({ problems: [], value: { backoff: { initialMs: 120_000, maxMs: 120_000 } } });
    expect(paths(resolve({ rejoinMs: 1 }, base, { exclusive: false }).problems)).toEqual(['x.rejoinMs']);
    expect(resolve({ rejoinMs: 0 }, base, { exclusive: false }).problems).toEqual([]);
    expect(resolve({ rejoinMs: 60_000 }).problems).toEqual([]);
  });

  it.each([1, 2, -1, 1_001])('maxCrashes %d is refused', (maxCrashes) => { expect(paths(resolve({ maxCrashes }).problems)).toEqual(['x.maxCrashes']); });
  it.each([0, 3, 1_000])('maxCrashes %d is taken', (maxCrashes) => { expect(resolve({ maxCrashes })).toMatchObject({ problems: [], value: { maxCrashes } }); });
  it.each([NaN, Infinity, '5', null, {}, []])('prefetch of %j is refused', (prefetch) => { expect(paths(resolve({ prefetch }).problems)).toEqual(['x.prefetch']); });

  it.each([5, 'x', true, null, []])('%j is no retry, and no options of partitions', (wrong) => {
    expect(paths(resolve({ retry: wrong }).problems)).toEqual(['x.retry']);
    expect(paths(resolvePartitionDefaults(wrong as never).problems)).toEqual(['partition']);
    expect(paths(resolvePartitionOptions(wrong as never, base, context).problems)).toEqual(['x', 'x.group', 'x.stream']);
  });

  it('startFrom becomes the id after which to begin', () => {
    const from = (startFrom: unknown): string => resolve({ startFrom }).value.startFrom;
    expect([from('earliest'), from('latest'), from('5-3'), from('5-0'), from('0-0'), from('5'), from(new Date(7)), from(new Date(0))]).toEqual([
      '0-0', '$', '5-2', `4-${MAX}`, '0-0', `4-${MAX}`, `6-${MAX}`, '0-0',
    ]);
    for (const wrong of [null, 5, 'soon', '', '1-', '-1', '1-2-3', new Date(NaN), new Date(-1), {}, '99999999999999999999999']) expect([wrong, paths(resolve({ startFrom: wrong }).problems)]).toEqual([wrong, ['x.startFrom']]);
  });
});

describe('idBefore', () => {
  const half = fc.oneof(fc.bigInt({ min: 0n, max: MAX }), fc.bigInt({ min: 0n, max: 5n }));

  it('is the greatest id before the one given: nothing lies between them', () => {
    fc.assert(fc.property(half, half, (ms, sequence) => {
      fc.pre(ms + sequence > 0n);
      const id = `${ms}-${sequence}`;
      const before = idBefore(id)!;
      expect(compareStreamIds(before, id)).toBe(-1);
      const [m, s] = before.split('-').map(BigInt) as [bigint, bigint];
      expect(s < MAX ? `${m}-${s + 1n}` : `${m + 1n}-0`).toBe(id);
    }), { numRuns: 500 });
  });

  it('takes ids without a sequence, and moments, as the first of their millisecond', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 8_640_000_000_000_000 }), (ms) => {
      expect([idBefore(String(ms)), idBefore(new Date(ms))]).toEqual([idBefore(`${ms}-0`), idBefore(`${ms}-0`)]);
    }), { numRuns: 200 });
  });

  it('never throws, and answers undefined to all else', () => {
    fc.assert(fc.property(fc.anything({ withDate: true, withBigInt: true }), (value) => {
      const id = idBefore(value);
      if (id !== undefined) expect(id).toMatch(/^\d+-\d+$/);
    }));
    for (const wrong of [undefined, null, 5, '', 'x', '1-x', '1.5', new Date(NaN), new Date(-1)]) expect(idBefore(wrong)).toBeUndefined();
  });

  it('refuses what is beyond the server\'s 64 bits', () => {
    expect(idBefore(`${MAX}-${MAX}`)).toBe(`${MAX}-${MAX - 1n}`);
    expect([idBefore(`${MAX + 1n}-0`), idBefore(`0-${MAX + 1n}`), idBefore(String(MAX + 1n))]).toEqual([undefined, undefined, undefined]);
  });
});
