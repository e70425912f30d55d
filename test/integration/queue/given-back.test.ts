import { expect, it } from 'vitest';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, ghost, pendingOf } from './support/state.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'a message that a session holds without knowing it', (world) => {
  it('is given back once: told again, because the answer was lost, when the same session has taken it since, it stays', async () => {
    const queue = await world().queue();
    const { messages, sessions, members, names, retries, attempts, delayed, control, dead, bell } = keysOf(queue);
    const cli = (...args: Array<string | number>): Promise<unknown> => world().cli(args.map(String));
    const look = async (session: string): Promise<number> => {
      const reply = (await cli('EVAL', LUA['queue-look'], 9, messages, sessions, members, retries, attempts, delayed, control, dead, names, session, 'default', 10, 1_000_000)) as unknown[];
      return (reply.length - 7) / 5;
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

onTopologies(['standalone'], 'given back at a stop, while its handlers run on', (world) => {
  const LONG = { session: { ttlMs: 60_000 }, shutdown: { drainMs: 9_000 } };

  it('suspects that wait for their turn', async () => {
    const queue = await world().queue();
    await world().client.queue(queue).sendMany(numbers(4).map((data) => ({ data })));
    await (await ghost(world(), queue, { begun: true }))();
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { engine: LONG });
    await mine.calls(1);
    expect(a.inner.load()).toEqual({ held: 4, running: 1 });
    await consume(world(), queue, theirs.handler(), { engine: LONG });
    const stopped = a.stop();
    await theirs.calls(3, 3_000);
    hold.open();
    await stopped;
    await drained(world(), queue);
    expect([...mine.data, ...theirs.data].sort()).toEqual(numbers(4));
    // The crash that made them suspects, and no other.
    expect(theirs.contexts.map(({ attempt, redelivered }) => [attempt, redelivered])).toEqual(numbers(3).map(() => [2, true]));
  });

  it('what a read brings that was broken off', async () => {
    const queue = await world().queue();
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { concurrency: 1, prefetch: 1, engine: LONG });
    await world().client.queue(queue).sendMany(numbers(4).map((data) => ({ data })));
    await mine.calls(1);
    // As its last read would, the answer of which nobody hears any more.
    await world().cli(['XREADGROUP', 'GROUP', 'default', a.session()!, 'STREAMS', keysOf(queue).messages, '>'], keysOf(queue).messages);
    const stopped = a.stop();
    await consume(world(), queue, theirs.handler(), { engine: LONG });
    await theirs.calls(3, 3_000);
    hold.open();
    await stopped;
    await drained(world(), queue);
    expect([...mine.data, ...theirs.data].sort()).toEqual(numbers(4));
    expect(theirs.contexts.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('what a look brings that was under way', async () => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    // Two run, and there is room for one more: not worth a read, but a look brings it.
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { concurrency: 2, prefetch: 3, engine: { ...LONG, connection: { url: proxy.url } } });
    const producer = world().client.queue(queue);
    await producer.sendMany([{ data: 0 }, { data: 1 }]);
    await mine.calls(2);
    await producer.send(2);
    const { messages, sessions, bell } = keysOf(queue);
    await world().cli(['ZADD', sessions, Date.now() + 60_000, 'ghost:1']);
    await world().cli(['XREADGROUP', 'GROUP', 'default', 'ghost:1', 'STREAMS', messages, '>'], messages);
    expect(await pendingOf(world(), queue)).toEqual({ [a.session()!]: 2, 'ghost:1': 1 });
    proxy.setFaults({ latencyMs: 300 });
    await world().cli(['ZADD', sessions, 1, 'ghost:1']);
    await world().cli(['PUBLISH', bell, 'look']);
    await waitUntil(async () => (await pendingOf(world(), queue))[a.session()!] === 3, { what: 'the server has given it one more', intervalMs: 2 });
    const stopped = a.stop();
    expect(a.inner.load()).toEqual({ held: 2, running: 2 });
    proxy.setFaults({});
    await consume(world(), queue, theirs.handler(), { engine: LONG });
    await theirs.calls(1, 3_000);
    hold.open();
    await stopped;
    await drained(world(), queue);
    expect([mine.data, theirs.data]).toEqual([[0, 1], [2]]);
  });
});
