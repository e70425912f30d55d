import { expect, it } from 'vitest';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'a message that a session holds without knowing it', (world) => {
  it('is given back once: told again, because the answer was lost, when the same session has taken it since, it stays', async () => {
    const queue = await world().queue();
    const { messages, sessions, members, names, retries, attempts, delayed, control, dead, bell } = keysOf(queue);
    const cli = (...args: Array<string | number>): Promise<unknown> => world().cli(args.map(String));
    const look = async (session: string): Promise<number> => {
      const reply = (await cli('EVAL', LUA['queue-look'], 9, messages, sessions, members, retries, attempts, delayed, control, dead, names, session, 'default', 10, 1_000_000)) as unknown[];
      return (reply.length - 6) / 5;
    };
    await cli('XGROUP', 'CREATE', messages, 'default', '0-0', 'MKSTREAM');
    const { id } = await world().client.queue(queue).send('x');
    for (const session of ['s', 't']) await cli('ZADD', sessions, Date.now() + 60_000, session);
    await cli('XREADGROUP', 'GROUP', 'default', 's', 'STREAMS', messages, '>'); // its answer was lost
    const giveBack = (): Promise<unknown> => cli('EVAL', LUA['queue-settle'], 5, messages, sessions, retries, attempts, dead, 's', 'default', bell, 0, 0, 1, 0, id, '#1', 0);
    await giveBack(); // the answer to this one too
    expect(await look('s')).toBe(1);
    await giveBack();
    expect(await look('t')).toBe(0); // s is handling it
    expect(await cli('XPENDING', messages, 'default', '-', '+', 10, 's')).toEqual([[id, 's', expect.any(Number), 2]]);
  });
});
