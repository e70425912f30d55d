import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { redisCommand, redisCommands } from '../../support/redis-command.js';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';

let server: RedisServer;
let proxy: TcpProxy;
const clients: Socket[] = [];
beforeAll(async () => { server = await startRedis(); });
afterAll(async () => { await server.stop(); });
beforeEach(async () => {
  await server.cli('FLUSHALL');
  proxy = await startProxy(server.port, { seed: 7 });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
});

/** A raw client: what arrived, in which pieces, and whether the connection has ended. */
async function open(): Promise<{ socket: Socket; pieces: Buffer[]; text(): string; ended(): boolean }> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true });
  clients.push(socket);
  const pieces: Buffer[] = [];
  let ended = false;
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => undefined);
  socket.on('close', () => { ended = true; });
  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  return { socket, pieces, text: () => Buffer.concat(pieces).toString(), ended: () => ended };
}
const connectedClients = async (): Promise<number> =>
  String(await server.cli('CLIENT', 'LIST', 'TYPE', 'normal')).trim().split('\n').length - 1;

it('passes everything on without faults, also large and pipelined', async () => {
  const big = 'x'.repeat(3_000_000);
  const replies = await redisCommands(proxy.port, [['SET', 'big', big], ...Array.from({ length: 500 }, () => ['INCR', 'n']), ['GET', 'big']]);
  expect(replies).toHaveLength(502);
  expect(replies[500]).toBe(500);
  expect(replies[501]).toBe(big);
  expect(Object.values(proxy.stats.cuts)).toEqual([0, 0, 0, 0, 0]);
});

it('ends connections after a random lifetime, different ones within the bounds', async () => {
  proxy.setFaults({ lifetimeMs: [50, 400] });
  const startedAt = performance.now();
  const lifetimes = await Promise.all(Array.from({ length: 8 }, async () => {
    const client = await open();
    await waitUntil(() => client.ended(), { what: 'the connection is cut' });
    return Math.round(performance.now() - startedAt);
  }));
  expect(proxy.stats.cuts.lifetime).toBe(8);
  expect(Math.min(...lifetimes)).toBeGreaterThanOrEqual(45);
  expect(new Set(lifetimes).size).toBeGreaterThan(2);
});

it('cuts within a request: the server gets exactly the bytes and executes nothing', async () => {
  proxy.setFaults({ cutAfterUpstreamBytes: 20 });
  await expect(redisCommand(proxy.port, 'SET', 'k', 'v')).rejects.toThrow(/closed|ECONNRESET/);
  expect(proxy.stats.cuts.upstream).toBe(1);
  expect(proxy.stats.bytesUp).toBe(20);
  expect(await server.cli('EXISTS', 'k')).toBe(0);
});

it('cuts within a reply: the client gets exactly the bytes', async () => {
  await server.cli('SET', 'k', 'abcdefghij');
  proxy.setFaults({ cutAfterDownstreamBytes: 8 });
  const client = await open();
  client.socket.write('GET k\r\n');
  await waitUntil(() => client.ended(), { what: 'the connection is cut' });
  expect(client.text()).toBe('$10\r\nabc');
  expect(proxy.stats.cuts.downstream).toBe(1);
});

it('cuts after the write: the server has executed, the client is never told', async () => {
  proxy.setFaults({ cutAfterWriteChance: 1 });
  const client = await open();
  client.socket.write('INCR n\r\n');
  await waitUntil(() => client.ended(), { what: 'the connection is cut' });
  expect(client.text()).toBe('');
  expect(await server.cli('GET', 'n')).toBe('1');
  expect(proxy.stats.cuts.afterWrite).toBe(1);
});

it('cuts after the write of a blocking read too, which gives no reply', async () => {
  proxy.setFaults({ cutAfterWriteChance: 1 });
  const client = await open();
  client.socket.write('BLPOP list 0\r\n');
  await waitUntil(() => client.ended(), { what: 'the connection is cut' });
  await waitUntil(async () => await connectedClients() === 0, { what: 'the server dropped the blocked client' });
  expect(proxy.stats.cuts.afterWrite).toBe(1);
});

it('is a black hole for old and new connections until it ends', async () => {
  const [idle, busy] = [await open(), await open()];
  proxy.blackhole(true);
  const fresh = await open();
  busy.socket.write('INCR n\r\n');
  fresh.socket.write('INCR n\r\n');
  await waitUntil(() => proxy.stats.swallowedBytes === 2 * 'INCR n\r\n'.length, { what: 'both requests are swallowed' });
  await expect(redisCommands(proxy.port, [['PING']], 300)).rejects.toThrow(/No answer/);
  expect([idle.ended(), busy.ended(), fresh.ended()]).toEqual([false, false, false]);
  expect(await server.cli('EXISTS', 'n')).toBe(0);
  proxy.blackhole(false);
  await waitUntil(() => busy.ended() && fresh.ended(), { what: 'connections that lost bytes are cut' });
  idle.socket.write('PING\r\n');
  await waitUntil(() => idle.text() === '+PONG\r\n', { what: 'the untouched connection works again' });
});

it('stays silent in a black hole even when the server dies', async () => {
  const doomed = await startRedis();
  const other = await startProxy(doomed.port);
  try {
    const socket = connect(other.port, '127.0.0.1');
    clients.push(socket);
    let ended = false;
    socket.on('end', () => { ended = true; }).on('error', () => undefined);
    await waitUntil(() => other.stats.open === 1, { what: 'the connection is up' });
    other.blackhole(true);
    await doomed.stop();
    socket.write('PING\r\n');
    await waitUntil(() => other.stats.swallowedBytes === 6, { what: 'the request is swallowed' });
    expect(ended).toBe(false);
  } finally {
    await other.stop();
    await doomed.stop();
  }
});

it('leaves connections half-open: the server sees the end, the client does not, new ones work', async () => {
  const client = await open();
  client.socket.write('PING\r\n');
  await waitUntil(() => client.text() === '+PONG\r\n', { what: 'the connection works' });
  proxy.halfOpenAll();
  await waitUntil(async () => await connectedClients() === 0, { what: 'the server dropped the client' });
  client.socket.write('PING\r\n');
  await waitUntil(() => proxy.stats.swallowedBytes === 6, { what: 'the request is swallowed' });
  expect(client.ended()).toBe(false);
  expect(client.text()).toBe('+PONG\r\n');
  expect(proxy.stats.halfOpened).toBe(1);
  expect(await redisCommand(proxy.port, 'PING')).toBe('PONG');
});

it('half-opens at the end of a lifetime when told so', async () => {
  proxy.setFaults({ lifetimeMs: 50, halfOpenChance: 1 });
  const client = await open();
  await waitUntil(() => proxy.stats.halfOpened === 1, { what: 'the connection is half-open' });
  expect(client.ended()).toBe(false);
  expect(proxy.stats.cuts.lifetime).toBe(0);
});

it('passes single bytes in both directions, and the replies are still right', async () => {
  await server.cli('SET', 'k', 'abcdefghij');
  proxy.setFaults({ sliceBytes: 1 });
  const client = await open();
  client.socket.write('GET k\r\n');
  await waitUntil(() => client.text() === '$10\r\nabcdefghij\r\n', { what: 'the whole reply is there' });
  expect(proxy.stats.slices).toBe('GET k\r\n'.length + '$10\r\nabcdefghij\r\n'.length);
  expect(client.pieces.length).toBeGreaterThan(5);
});

it('adds latency in each direction, once and not per pipelined request', async () => {
  proxy.setFaults({ latencyMs: 100 });
  const startedAt = performance.now();
  await redisCommands(proxy.port, Array.from({ length: 50 }, () => ['INCR', 'n']));
  const tookMs = performance.now() - startedAt;
  expect(tookMs).toBeGreaterThanOrEqual(195);
  expect(tookMs).toBeLessThan(3_000);
  expect(proxy.stats.delayedChunks).toBeGreaterThanOrEqual(2);
});

it('cuts all at once and goes on with new connections', async () => {
  const some = [await open(), await open(), await open()];
  proxy.cutAll();
  await waitUntil(() => some.every((client) => client.ended()), { what: 'all are cut' });
  expect(proxy.stats.cuts.manual).toBe(3);
  expect(await redisCommand(proxy.port, 'PING')).toBe('PONG');
});
