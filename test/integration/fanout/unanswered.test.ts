import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { Lockstep } from './support/lockstep.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/** How often any client has asked for no answers, over all servers. */
async function hushes(world: World): Promise<number> {
  const stats = (await world.everywhere('INFO', 'commandstats')).map(String);
  return stats.reduce((sum, text) => sum + Number(/cmdstat_client\|reply:calls=(\d+)/.exec(text)?.[1] ?? 0), 0);
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

onTopologies(BOTH, 'acknowledgements of a brisk room', (world) => {
  it('are not answered one by one, and every step waits for all of them', async () => {
    const room = world().room();
    const peers = world().peers(3);
    const seen = peers.map(() => new Seen());
    const lockstep = new Lockstep();
    const before = await hushes(world());
    await Promise.all(peers.map((peer, i) => peer.rooms.join(room, seen[i]!.handler(async (context) => {
      lockstep.begin(`p${i}`, context);
      await new Promise((resolve) => setImmediate(resolve));
      lockstep.end(`p${i}`, context);
    }))));
    for (let i = 0; i < peers.length; i++) lockstep.stays(`p${i}`);
    const outcomes = await Promise.all(numbers(500).map((n) => peers[0]!.rooms.send(room, n, { await: 'acked' })));
    expect(outcomes.every(({ acknowledged, ejected }) => acknowledged === 3 && ejected.length === 0)).toBe(true);
    for (const each of seen) expect(each.data).toEqual(numbers(500));
    expect(lockstep.violations).toEqual([]);
    expect(await hushes(world())).toBeGreaterThan(before);
    // The last ones too, behind which no message came.
    const { owing } = await peers[0]!.idle(room);
    expect(owing).toEqual([]);
    expect(peers.flatMap((peer) => peer.errors)).toEqual([]);
  });
});

onTopologies(['standalone'], 'acknowledgements that nobody answers', (world) => {
  it('are said again when the server did not take them', async () => {
    const room = world().room();
    const [a, b] = [world().peer(), world().peer()];
    const [first, second] = [new Seen(), new Seen()];
    // What comes after it is refused, unheard, until somebody loads the script again.
    await a.rooms.join(room, first.handler((_, n) => (n % 50 === 49 ? world().everywhere('SCRIPT', 'FLUSH') : undefined)));
    await b.rooms.join(room, second.handler());
    await Promise.all(numbers(300).map((n) => a.rooms.send(room, n)));
    await second.calls(300);
    await first.calls(300);
    expect([first.data, second.data]).toEqual([numbers(300), numbers(300)]);
    expect([...a.all('room.ejected'), ...b.all('room.ejected')]).toEqual([]);
  });

  it('do not keep a process in the dark that is no member any more', async () => {
    const room = world().room();
    const namespace = world().namespace();
    const [a, b] = world().peers(2, { namespace });
    const [first, second] = [new Seen(), new Seen()];
    await a!.rooms.join(room, first.handler());
    let sending = true;
    let sent = 0;
    await b!.rooms.join(room, second.handler(() => sending && void b!.rooms.send(room, ++sent)));
    const before = await hushes(world());
    await b!.rooms.send(room, sent);
    await waitUntil(async () => (await hushes(world())) >= before + 2 && sent > 200, { what: 'both ask for no answers' });
    // Out, and not told.
    const { state } = keysOf(room, { namespace });
    const session = ((await world().cli(['HKEYS', state])) as string[]).find((field) => field.startsWith(`${a!.engine.consumerName}:`))!;
    const script = `redis.call('HDEL', KEYS[1], ARGV[1]) redis.call('HINCRBY', KEYS[1], 'sync', '-1')
      local left = tonumber(redis.call('HGET', KEYS[1], 'left') or '0')
      if left > 1 then redis.call('HSET', KEYS[1], 'left', left - 1) end
      redis.call('HDEL', KEYS[1], 'plain')`;
    await world().cli(['EVAL', script, 1, state, session], state);
    const [ejected] = await a!.saw('room.ejected', 1, 5_000);
    expect(ejected).toMatchObject({ room, reason: 'expired', rejoins: true });
    const known = first.contexts.length;
    await first.calls(known + 100);
    sending = false;
    const { owing, members } = await b!.idle(room);
    expect([owing, members.length]).toEqual([[], 2]);
  });
});

it('a user without the right to ask for no answers gets them all', async () => {
  const redis = await startRedis();
  await redis.cli('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '&*', '+@all', '-client|reply');
  const errors: Error[] = [];
  const engine = new RedisStreamsEngine({ connection: { url: redis.url.replace('//', '//plain:secret@') }, onError: (error) => void errors.push(error) });
  try {
    await engine.start();
    const seen = new Seen();
    await engine.fanout().join('room', seen.handler());
    await Promise.all(numbers(300).map((n) => engine.fanout().send('room', n)));
    await seen.calls(300);
    expect(seen.data).toEqual(numbers(300));
    expect(errors).toEqual([]);
    const log = String(await redis.cli('ACL', 'LOG'));
    expect(log).toContain('client|reply');
  } finally {
    await engine.stop();
    await redis.stop();
  }
});
