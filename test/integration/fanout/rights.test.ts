import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import type { Peer } from './support/peer.js';
import { World } from './support/world.js';

// What a user may not do must not look like a room in which nothing happens.
describe.each([
  { kind: 'sharded', args: [], speak: 'spublish', listen: 'ssubscribe' },
  { kind: 'ordinary', args: ['SSUBSCRIBE', 'SUNSUBSCRIBE', 'SPUBLISH'].flatMap((command) => ['--rename-command', command, '']), speak: 'publish', listen: 'subscribe' },
])('users without rights to rooms, $kind pub/sub', ({ args, speak, listen }) => {
  let server: RedisServer;
  let world: World;
  beforeAll(async () => {
    server = await startRedis({ args });
    world = new World({ kind: 'standalone', server, servers: [server], stop: () => server.stop() });
  });
  afterEach(() => world.clean());
  afterAll(() => server?.stop());

  async function peerOf(name: string, ...rules: string[]): Promise<Peer> {
    await server.cli('ACL', 'SETUSER', name, 'on', '>secret', '~*', '+@all', '&*', ...rules);
    return world.peer({}, { connection: { url: server.url.replace('//', `//${name}:secret@`) }, session: { ttlMs: 60_000, heartbeatMs: 20_000 } });
  }

  it.each([['the command', () => [`-${speak}`]], ['the channel', () => ['resetchannels', '&*bell', '&*:acked:*']]])('who may not publish, for want of %s, is told by every call, and nothing is kept of it', async (_, rules) => {
    const [mute, whole] = [await peerOf('mute', ...rules()), world.peer()];
    const room = world.room();
    const seen = new Seen();
    await whole.rooms.join(room, seen.handler());
    const { state } = keysOf(room);
    const told = { name: 'ConnectionError', code: 'CONNECTION', message: expect.stringContaining('NOPERM') as string };
    for (let i = 0; i < 2; i++) {
      expect(await failure(mute.rooms.send(room, 'lost'))).toMatchObject({ ...told, message: expect.stringContaining(state) as string });
      expect(await failure(mute.rooms.send(room, 'lost', { await: 'acked' }))).toMatchObject(told);
      expect(await failure(mute.rooms.sendOutOfBand(room, 'lost'))).toMatchObject(told);
      expect(await failure(mute.rooms.join(room, () => undefined))).toMatchObject(told);
      expect(await failure(mute.rooms.join(room, () => undefined, { sync: false }))).toMatchObject(told);
    }
    // Nobody has to wait for a member that is none.
    expect(await whole.rooms.send(room, 'seen', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.data).toEqual(['seen']);
    expect((await whole.idle(room)).members).toHaveLength(1);
    await waitUntil(async () => Number((await server.cli('PUBSUB', 'NUMSUB', state) as unknown[])[1]) <= 1, { what: 'it does not listen any more' });
  });

  it('who may not listen is told by the join, and the start of its handlers', async () => {
    const deaf = await peerOf('deaf', `-${listen}`);
    const told = { name: 'ConnectionError', code: 'CONNECTION', message: expect.stringContaining('NOPERM') as string };
    for (let i = 0; i < 2; i++) expect(await failure(deaf.rooms.join(world.room(), () => undefined))).toMatchObject(told);
    const another = await peerOf('deaf', `-${listen}`);
    another.engine.addRoomHandler({ room: world.room() }, { message: () => undefined });
    expect(await failure(another.engine.start())).toMatchObject(told);
    // It may send, and wait for others.
    const whole = world.peer();
    const room = world.room();
    await whole.rooms.join(room, () => undefined);
    expect(await deaf.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(await deaf.rooms.metrics()).toMatchObject({ subscribers: 0, subscribedRooms: 0 });
  });

  it('rooms that it may not be in cost it none of the others', async () => {
    const peer = await peerOf('partial', 'resetchannels', '&*bell', '&*:acked:*', '&*:room:mine*');
    const seen = new Seen();
    const names = Array.from({ length: 40 }, (_, i) => (i % 4 === 1 ? `other${i}` : `mine${i}`));
    const joined = await Promise.allSettled(names.map((name) => peer.rooms.join(name, seen.handler())));
    expect(joined.map(({ status }) => status)).toEqual(names.map((name) => (name.startsWith('mine') ? 'fulfilled' : 'rejected')));
    const sent = await Promise.allSettled(names.map((name) => peer.rooms.send(name, name, { await: 'acked' })));
    expect(sent.map(({ status }) => status)).toEqual(joined.map(({ status }) => status));
    expect([...seen.data].sort()).toEqual(names.filter((name) => name.startsWith('mine')).sort());
  });

  it('a right that was taken away is asked for ever less often, and used again when it is back', async () => {
    const peer = await peerOf('once');
    const room = world.room();
    const seen = new Seen();
    await peer.rooms.join(room, seen.handler());
    await server.cli('ACL', 'SETUSER', 'once', `-${listen}`);
    await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await sleep(3_000); // at the pace of other failures: some forty
    const refusals = peer.all('connection.error').filter(({ error }) => error.message.startsWith('NOPERM')).length;
    expect(refusals).toBeGreaterThan(0);
    expect(refusals).toBeLessThan(24); // the bell asks too
    await server.cli('ACL', 'SETUSER', 'once', `+${listen}`);
    expect(await world.peer().rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
  });
});
