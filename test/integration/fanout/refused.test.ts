import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.js';

it('asks ever less often for a channel that it has no right to', async () => {
  const redis = await startRedis();
  await redis.cli('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~*', '+@all', 'resetchannels');
  const engine = new RedisStreamsEngine({ connection: { url: redis.url.replace('//', '//deaf:secret@') }, shutdown: { drainMs: 100 }, onError: () => undefined });
  try {
    let replaced = 0;
    engine.events.on('connection.replaced', () => void replaced++);
    await engine.start();
    const joining = engine.fanout().join('room', () => undefined);
    joining.catch(() => undefined);
    await sleep(3_000); // at the pace of other failures: some forty
    expect(replaced).toBeGreaterThan(0);
    expect(replaced).toBeLessThan(12);
  } finally {
    await engine.stop();
    await redis.stop();
  }
});
