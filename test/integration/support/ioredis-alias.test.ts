import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { spawnNode } from '../../support/processes.js';
import { startRedis } from '../../support/redis-server.js';

const script = new URL('../../support/fixtures/ioredis-version.ts', import.meta.url);

it.each([['5', 5], ['', 6]])('a child with IOREDIS=%s gets ioredis %i', async (IOREDIS, major) => {
  const child = spawnNode<{ version: string; isClass: boolean }>(script, { env: { IOREDIS } });
  const { version, isClass } = await child.waitFor(() => true, 10_000, 'its version');
  expect(Number.parseInt(version, 10)).toBe(major);
  expect(isClass).toBe(true);
  expect(await child.exited).toEqual({ code: 0, signal: null });
});

it('the client in this process is of the major that IOREDIS asks for, and works', async () => {
  const server = await startRedis();
  const client = new Redis(server.port, '127.0.0.1', { lazyConnect: true });
  try {
    await client.connect();
    expect(await client.ping()).toBe('PONG');
    // ioredis 6 says HELLO 3 unless told otherwise, 5 knows only RESP2.
    const resp = /(?<= )resp=(\d)/.exec(String(await client.client('INFO')))?.[1];
    expect(resp).toBe(process.env['IOREDIS'] === '5' ? '2' : '3');
  } finally {
    client.disconnect();
    await server.stop();
  }
});
