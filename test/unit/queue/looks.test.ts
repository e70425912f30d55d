import { expect, it } from 'vitest';
import { Looks } from '../../../libs/redis-streams/dist/queue/looks.js';

it('quiet waits for the look that is under way, not for those it leads to: while much is due there is no end to them', async () => {
  const ends: Array<() => void> = [];
  const looks: Looks = new Looks(async () => {
    looks.look();
    await new Promise<void>((resolve) => ends.push(resolve));
    return true;
  });
  looks.look();
  await Promise.resolve();
  let quiet = false;
  const waited = looks.quiet().then(() => (quiet = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect([ends.length, quiet]).toEqual([1, false]);
  ends[0]!();
  await waited;
  const stopped = looks.stop();
  ends[1]?.();
  await stopped;
  expect(ends.length).toBeLessThanOrEqual(2);
});
