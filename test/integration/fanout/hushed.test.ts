import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { Line } from '../../../libs/redis-streams/dist/redis/line.js';
import { startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';

it('an answer that was to be left out, and was not, is nobody else\'s', async () => {
  const redis = await startRedis();
  await redis.cli('ACL', 'SETUSER', 'loud', 'on', '>secret', '~*', '&*', '+@all');
  const client = new Redis(redis.url.replace('//', '//loud:secret@'), { retryStrategy: () => null, enableReadyCheck: false, protocol: 2, disableClientInfo: true });
  const ends: string[] = [];
  const line = await Line.open(client, 5_000, () => undefined, (_, why) => ends.push(why));
  try {
    await waitUntil(() => line.takesUnanswered, { what: 'answers can be left out' });
    await redis.cli('MSET', 'mine', 'mine', 'other', 'other');
    // From here on the server answers, whatever it is asked.
    await redis.cli('ACL', 'SETUSER', 'loud', '-client|reply');
    line.unanswered('*2\r\n$3\r\nGET\r\n$5\r\nother\r\n');
    await expect(line.command(['GET', 'mine'])).rejects.toThrow('the subscriber connection ended');
    expect(ends).toEqual([expect.stringContaining('NOPERM')]);
  } finally {
    line.close();
    await redis.stop();
  }
});
