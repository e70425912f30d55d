import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeadLetterException } from 'nestjs-redis-streams';
import { expect, it } from 'vitest';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';
import { GroupStore } from '../../../libs/redis-streams/dist/partition/group-store.js';
import { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { messages, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

const long = { session: { ttlMs: 20_000, heartbeatMs: 300 } };
const ref = (stream: string) => ({ stream, group: 'group' });

/** A server that comes back with what it had saved, as a replica that is promoted does with what it had heard: what was written since is gone. */
onTopologies(['standalone'], 'the last writes are lost', (world) => {
  async function ownServer(): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), 'nrs-own-'));
    const server = await startRedis({ dir });
    world().onEnd(async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    });
    return server;
  }

  async function goesBack(server: RedisServer, meanwhile: () => Promise<unknown>): Promise<void> {
    await server.cli('SAVE');
    await meanwhile();
    await server.kill();
    await server.restart();
  }

  /** Members' looks at a group, one after the other, by hand. */
  function groupByHand(server: RedisServer, stream: string, partitions: number) {
    const redis = new RedisConnection('by hand', { url: server.url }, 5_000, new RedisStreamsEvents());
    world().onEnd(() => redis.close());
    const store = new GroupStore(redis, stream, 'group', partitions);
    const sequences = new Map<string, number>();
    const look = async (member: string, { known = '', held = [], released = [] }: { known?: string; held?: ReadonlyArray<readonly [number, number]>; released?: ReadonlyArray<readonly [number, number]> } = {}) => {
      const sequence = (sequences.get(member) ?? 0) + 1;
      sequences.set(member, sequence);
      const reply = await store.sync(`${member}:1`, member, false, known, released.map(([partition, token]) => ({ partition, token, above: 0 })), held, 1_000, sequence);
      if (typeof reply === 'string') throw new Error(reply);
      return reply;
    };
    const joined = (...members: string[]) => Promise.all(members.map((member) => server.cli('ZADD', keysOf(stream).sessions, Date.now() + 3_600_000, `${member}:1`)));
    const plan = async (target: Record<string, number[]>) => expect(await store.plan((await store.roster()).generation, new Map(Object.entries(target)))).toBe(true);
    return { store, look, joined, plan };
  }

  it('a grant, while its owner\'s session lives on: it is granted anew, and what is committed then counts', async () => {
    const server = await ownServer();
    const engine = { connection: { url: server.url }, ...long };
    const client = world().engine(engine).partitions();
    const stream = world().name();
    await client.register({ name: stream, partitions: 1 });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(({ data }) => {
      if (data === 'poison') throw new DeadLetterException('poison');
    }), { engine });
    await a.owns(1);
    const committed = async (what: string) => waitUntil(async () => (await client.lag(ref(stream)))[0]!.lag === 0, { what, timeoutMs: 8_000 });
    // As many commits as it takes for the first ones of the next owner to be older in number.
    for (const message of messages(30)) {
      await client.send(stream, message);
      await committed('each is committed');
    }
    const session = a.session;
    const tokens = () => a.all('partition.assigned').map(({ token }) => token);
    await goesBack(server, async () => {
      await client.seek(ref(stream), 'latest');
      await a.saw('partition.assigned', 2);
    });
    await a.saw('partition.assigned', 3);
    expect(a.session).toBe(session);
    await a.owns(1);
    expect(tokens()).toEqual([...new Set(tokens())].sort((x, y) => x - y));
    await client.send(stream, { data: 'poison' });
    await client.sendMany(stream, messages(10));
    await committed('what came after is committed');
    expect((await client.deadLetters(ref(stream))).map(({ reason }) => reason)).toEqual(['poison']);
  });

  it('a grant that its owner knows of: no token is granted twice, nor one below what anybody has said to hold or to give back', async () => {
    const server = await ownServer();
    const stream = world().name();
    const { look, joined, plan, store } = groupByHand(server, stream, 2);
    await joined('a');
    await look('a');
    await plan({ a: [0, 1] });
    const [zero, one] = (await look('a')).rows!.map(({ token }) => token) as [number, number];
    // As the clock of another server may be.
    const [held, released] = [zero + 3_600_000_000, one + 7_200_000_000];
    const again = (await look('a', { held: [[0, held]] })).rows!;
    expect(again.map(({ partition, how }) => [partition, how])).toEqual([[0, 'gone'], [0, 'regranted'], [1, 'regranted']]);
    expect(again[1]!.token).toBeGreaterThan(held);
    expect(again[2]!.token).toBeGreaterThan(again[1]!.token);
    const last = (await look('a', { held: [[0, again[1]!.token]], released: [[1, released]] })).rows!;
    expect(last.map(({ partition, how }) => [partition, how])).toEqual([[0, 'held'], [1, 'regranted']]);
    expect(last[1]!.token).toBeGreaterThan(released);
    expect((await store.roster()).owners.get(1)!.token).toBe(last[1]!.token);
  });

  it('a change of the roster and its plan: the next ones have other numbers, so whoever has settled with the lost one looks again', async () => {
    const server = await ownServer();
    const stream = world().name();
    const { look, joined, plan, store } = groupByHand(server, stream, 3);
    await joined('a', 'b', 'c');
    await look('a');
    await look('b');
    await plan({ a: [0, 1], b: [2] });
    let known = '';
    await goesBack(server, async () => {
      await look('c');
      await plan({ a: [0], b: [2], c: [1] });
      await store.control('evict', [2]);
      known = (await look('a')).version;
      expect(await look('a', { known })).toMatchObject({ changed: false });
    });
    await store.leave('b:1', 'b', 0);
    await plan({ a: [0, 1, 2] });
    await store.control('evict', [1]);
    expect(await look('a', { known })).toMatchObject({ changed: true });
  });
});
