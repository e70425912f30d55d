import { describe, expect, it } from 'vitest';
import { startChild, told } from './fixtures/child.js';
import { askAll, ask, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
const SLOW = { n: 1, ms: 400 };

describe.each(['microservice', 'module', 'hybrid'] as const)('the end of a %s', (kind) => {
  it('by app.close(): what runs is completed and settled, its database lives until then, nothing keeps the process', async () => {
    const child = await startChild(net, { kind });
    const client = net.client();
    const reply = ask<string>(client, 'request', SLOW);
    await client.emitAsync('event', SLOW);
    await waitUntil(() => told(child, 'begin').length === 2, { what: 'both run' });
    child.send({ do: 'stop' });
    expect(await reply).toBe(`1 of ${child.pid}`);
    await child.waitFor(({ type }) => type === 'closed', 20_000, 'its close');
    expect(told(child, 'end').map(({ what, isOpen }) => [what, isOpen]).toSorted()).toEqual([['event', true], ['request', true]]);
    expect(await ended(child.exited), child.output()).toEqual({ code: 0, signal: null });
    // It was settled: who comes next has nothing to do.
    const next = await startChild(net, { kind });
    expect(await ask(client, 'request', { n: 2, ms: 1 })).toBe(`2 of ${next.pid}`);
    expect(told(next, 'begin').map(({ what, n }) => [what, n])).toEqual([['request', 2]]);
    await next.kill();
  });

  it('by SIGTERM: likewise', async () => {
    const child = await startChild(net, { kind });
    const client = net.client();
    const values = askAll<number>(client, 'values', { n: 15, ms: 30 });
    const reply = ask<string>(client, 'request', SLOW);
    await client.emitAsync('event', SLOW);
    await waitUntil(() => told(child, 'begin').length === 3, { what: 'all run' });
    child.signal('SIGTERM');
    expect(await reply).toBe(`1 of ${child.pid}`);
    expect(await values).toEqual(Array.from({ length: 15 }, (_, i) => i));
    // Nest ends the process by the signal it was sent, after its hooks.
    expect(await ended(child.exited), child.output()).toEqual({ code: null, signal: 'SIGTERM' });
    const ends = told(child, 'end');
    expect(ends.map(({ what }) => what).toSorted()).toEqual(['event', 'request']);
    // Without the module nobody holds up what its providers do in onModuleDestroy.
    if (kind !== 'microservice') expect(ends.map(({ isOpen }) => isOpen)).toEqual([true, true]);
  });

  it('with a stream of values that never ends: it waits for drainMs, not longer; the stream ends with it', async () => {
    const child = await startChild(net, { kind, options: { shutdown: { drainMs: 300 } } });
    const client = net.client();
    const failure = failureOf(askAll(client, 'endless', 1));
    await child.waitFor(({ type }) => type === 'begin', 10_000, 'its begin');
    child.send({ do: 'stop' });
    await child.waitFor(({ type }) => type === 'closed', 10_000, 'its close');
    expect(await ended(child.exited), child.output()).toEqual({ code: 0, signal: null });
    expect(told(child, 'aborted')).toHaveLength(1);
    await client.close();
    expect(await failure).toMatchObject({ code: 'CLOSED' });
  });

  it('while Redis is away: within bounds', async () => {
    const child = await startChild(net, { kind, options: { shutdown: { drainMs: 300 }, commandTimeoutMs: 500 } });
    await net.redis.kill('SIGSTOP');
    try {
      child.send({ do: 'stop' });
      await child.waitFor(({ type }) => type === 'closed', 15_000, 'its close');
      expect(await ended(child.exited), child.output()).toEqual({ code: 0, signal: null });
    } finally {
      await net.redis.kill('SIGCONT');
    }
  });
});

describe.each(['http', 'clients', 'client'] as const)('the end of a %s that asks', (kind) => {
  it('open requests fail, its stream is gone, nothing keeps the process', async () => {
    const server = await startChild(net, { kind: 'microservice' });
    const child = await startChild(net, { kind });
    child.send({ do: 'send', pattern: 'endless', data: 1 });
    await child.waitFor(({ type }) => type === 'value', 15_000, 'its first value');
    child.send({ do: 'emit', pattern: 'event', data: { n: 9, ms: 1 } });
    await child.waitFor(({ type, what }) => type === 'end' && what === 'emit', 10_000, 'its event');
    child.send({ do: 'stop' });
    expect(await ended(child.exited), child.output()).toEqual({ code: 0, signal: null });
    expect(told(child, 'failed').map(({ message }) => message)).toEqual([expect.stringContaining('closed')]);
    expect(await net.replyStreams()).toEqual([]);
    await server.waitFor(({ type }) => type === 'aborted', 10_000, 'the end of its handler');
    await server.waitFor(({ type, n }) => type === 'end' && n === 9, 10_000, 'the event');
  });

  it('by SIGTERM of an application: likewise', async () => {
    const server = await startChild(net, { kind: 'microservice' });
    const child = await startChild(net, { kind });
    child.send({ do: 'send', pattern: 'endless', data: 1 });
    await child.waitFor(({ type }) => type === 'value', 15_000, 'its first value');
    child.signal('SIGTERM');
    expect(await ended(child.exited), child.output()).toEqual({ code: null, signal: 'SIGTERM' });
    // A client without an application is ended by the signal as any process: its stream expires.
    if (kind !== 'client') expect(await net.replyStreams()).toEqual([]);
    else for (const stream of await net.replyStreams()) expect(Number(await net.redis.cli('PTTL', stream))).toBeGreaterThan(0);
    void server;
  });
});

describe.each(['http', 'clients'] as const)('the end of an application whose client is asked again and again (%s)', (kind) => {
  it('is its end: nothing keeps the process', async () => {
    await startChild(net, { kind: 'microservice' });
    const child = await startChild(net, { kind });
    child.send({ do: 'send', pattern: 'endless', data: 1, retry: true });
    await child.waitFor(({ type }) => type === 'value', 15_000, 'its first value');
    child.send({ do: 'stop' });
    await child.waitFor(({ type }) => type === 'closed', 10_000, 'its close');
    expect(await ended(child.exited), child.output()).toEqual({ code: 0, signal: null });
    expect(await net.replyStreams()).toEqual([]);
  });
});

/** Its exit, soon after its close: nothing is left that keeps it. */
function ended<T>(exited: Promise<T>): Promise<T | string> {
  return Promise.race([exited, new Promise<string>((resolve) => setTimeout(resolve, 8_000, 'still there'))]);
}
