import { expect, it, vi } from 'vitest';
import type { RedisConnection } from '../../../libs/redis-streams/src/redis/connection.js';
import { ServerClock } from '../../../libs/redis-streams/src/transport/server-clock.js';

it('goes on as before when the clock of the host is set', async () => {
  const clock = new ServerClock({ commands: { call: async () => ['1700000000', '500000'] } } as unknown as RedisConnection);
  await clock.start();
  const host = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
  expect(Math.abs(clock.now() - 1_700_000_000_500)).toBeLessThan(10_000);
  host.mockRestore();
  clock.stop();
});
