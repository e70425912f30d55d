import { describe, expect, it } from 'vitest';
import { resolveLeaseOptions, resolveLeaseTuning } from '../../../libs/redis-streams/dist/lease/options.js';

const base = resolveLeaseTuning({}, 'lease').value;

describe('lease options', () => {
  it('defaults are as documented', () => {
    expect(base).toMatchObject({
      maxLeases: 10_000, claim: 'auto', settle: 'auto', maxAttempts: 5, handOver: false, maxAnnouncementBytes: 262_144, maxDepth: 64,
      backoff: { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 },
    });
  });

  it('a consumer\'s own win over the module\'s, one by one', () => {
    const module_ = resolveLeaseTuning({ maxLeases: 7, claim: 'manual', backoff: { initialMs: 5, factor: 3 } }, 'lease').value;
    const { value, problems } = resolveLeaseOptions({ service: 's', claim: 'auto', backoff: { factor: 1 } }, module_, ['default'], 'x');
    expect(problems).toEqual([]);
    expect(value).toMatchObject({ service: 's', connection: 'default', maxLeases: 7, claim: 'auto', backoff: { initialMs: 5, factor: 1 } });
  });

  it('reports every problem at once, each with its path and what is allowed', () => {
    const { problems } = resolveLeaseOptions({
      service: 'a b', connection: 'other', maxLeases: 0, claim: 'maybe', settle: true, maxAttempts: 1.5, handOver: 'yes', maxAnnouncementBytes: 1, maxDepth: 1e9,
      backoff: { initialMs: -1, factor: 0.5, maxMs: 'x', jitter: 2 }, maxLeses: 5,
    } as never, base, ['default', 'second'], 'lease consumer of "a b"');
    expect(problems.map(({ path }) => path.replace('lease consumer of "a b".', '')).sort()).toEqual([
      'backoff.factor', 'backoff.initialMs', 'backoff.jitter', 'backoff.maxMs', 'claim', 'connection', 'handOver', 'maxAnnouncementBytes', 'maxAttempts', 'maxDepth',
      'maxLeases', 'maxLeses', 'service', 'settle',
    ]);
    for (const { message } of problems) expect(message).toMatch(/must be|is not an option/);
    expect(problems.find(({ path }) => path.endsWith('.connection'))!.message).toMatch(/default, second.*got "other"/);
  });

  it('checks the relation of the backoff\'s bounds', () => {
    expect(resolveLeaseTuning({ backoff: { initialMs: 5_000, maxMs: 4_999 } }, 'lease').problems).toMatchObject([{ path: 'lease.backoff.maxMs' }]);
    expect(resolveLeaseTuning({ backoff: { initialMs: 120_000 } }, 'lease')).toMatchObject({ problems: [], value: { backoff: { initialMs: 120_000, maxMs: 120_000 } } });
  });

  it.each([NaN, Infinity, '5', null, {}, []])('maxLeases of %j is refused', (maxLeases) => {
    expect(resolveLeaseTuning({ maxLeases: maxLeases as never }, 'lease').problems).toMatchObject([{ path: 'lease.maxLeases' }]);
  });
});
