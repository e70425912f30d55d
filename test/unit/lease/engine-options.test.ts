import { describe, expect, it } from 'vitest';
import { RedisStreamsEngine } from '../../../libs/redis-streams/dist/engine.js';
import { InvalidOptionsError } from '../../../libs/redis-streams/dist/errors/index.js';

const problemsOf = (make: () => unknown): string[] => {
  try {
    make();
  } catch (error) {
    if (error instanceof InvalidOptionsError) return error.problems.map(({ path }) => path).sort();
    throw error;
  }
  return [];
};

describe('engine options', () => {
  it('every wrong one is reported at once', () => {
    expect(problemsOf(() => new RedisStreamsEngine({
      connection: { url: 'http://x' }, connections: { second: { url: 'redis://x', cluster: { nodes: [] } }, third: 5, default: {} }, consumerName: 'a:b',
      session: { ttlMs: 1 }, commandTimeoutMs: 1, startTimeoutMs: -1, shutdown: { drainMs: -1 }, lease: { maxLeases: 0, claim: 'x' }, onError: 5,
    } as never))).toEqual([
      'commandTimeoutMs', 'connection.url', 'connections.default', 'connections.second', 'connections.second.cluster.nodes', 'connections.third', 'consumerName',
      'lease.claim', 'lease.maxLeases', 'onError', 'session.ttlMs', 'shutdown.drainMs', 'startTimeoutMs',
    ]);
  });

  it('the message lists each with its path', () => {
    expect(() => new RedisStreamsEngine({ commandTimeoutMs: 1, startTimeoutMs: -1 })).toThrow(/invalid options:\n {2}- commandTimeoutMs: must be .* \(got 1\)\n {2}- startTimeoutMs: .*\(got -1\)/);
  });

  it('nothing connects before it is used', async () => {
    const engine = new RedisStreamsEngine({ connection: { url: 'redis://127.0.0.1:1' } });
    const errors: unknown[] = [];
    engine.events.on('connection.error', (event) => errors.push(event));
    await engine.stop();
    expect(errors).toEqual([]);
  });

  it('one assigned handler for each service of a connection, added before the start', async () => {
    const engine = new RedisStreamsEngine({ connections: { second: {} } });
    const handlers = { assigned: () => undefined };
    engine.addLeaseConsumer({ service: 'a' }, handlers);
    engine.addLeaseConsumer({ service: 'a', connection: 'second' }, handlers);
    expect(problemsOf(() => engine.addLeaseConsumer({ service: 'a' }, handlers))).toEqual(['lease consumer of "a"']);
    expect(problemsOf(() => engine.addLeaseConsumer({ service: '{a}', connection: 'nope', maxLeases: -1 }, handlers))).toHaveLength(3);
    expect(problemsOf(() => engine.leases('nope'))).toEqual(['connection']);
    await engine.stop();
    expect(problemsOf(() => engine.addLeaseConsumer({ service: 'b' }, handlers))).toEqual(['lease consumer of "b"']);
  });

  it('two engines in one process share nothing', () => {
    const [a, b] = [new RedisStreamsEngine(), new RedisStreamsEngine()];
    a.addLeaseConsumer({ service: 'a' }, { assigned: () => undefined });
    expect(problemsOf(() => b.addLeaseConsumer({ service: 'a' }, { assigned: () => undefined }))).toEqual([]);
    expect(a.events).not.toBe(b.events);
  });
});
