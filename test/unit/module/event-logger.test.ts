import { Logger } from '@nestjs/common';
import { RedisStreamsEvents, RedisStreamsHealth } from 'nestjs-redis-streams';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { appOf } from './support/fake-engine.js';

const lines: string[] = [];
const sink = Object.fromEntries(
  ['debug', 'log', 'warn', 'error'].map((level) => [level, (...args: unknown[]) => void lines.push([level, ...args.filter(Boolean)].join(' | '))]),
) as never;

let events: RedisStreamsEvents;
beforeEach(async () => {
  const { engine } = await appOf({});
  events = engine.events;
  Logger.overrideLogger(sink);
  lines.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  Logger.overrideLogger(false);
});

const about = { service: 'orders', stream: 'order-1', token: 42, owner: 'c1:1' };

describe('lines', () => {
  it('carry stream, attempt and token, at the level that fits', () => {
    events.emit('lease.assigned', { ...about, attempt: 2, source: 'takeover' });
    events.emit('lease.takenOver', { ...about, previousOwner: 'c2:1' });
    events.emit('lease.lost', { ...about, reason: 'session-lost' });
    events.emit('lease.deadLettered', { service: 'orders', entryId: '1-0', reason: 'invalid JSON' });
    expect(lines).toEqual([
      'debug | orders: stream "order-1" assigned (takeover), attempt 2, token 42 | RedisStreams',
      'log | orders: stream "order-1" taken over from c2:1, token 42 | RedisStreams',
      'warn | orders: stream "order-1" lost (session-lost), token 42 | RedisStreams',
      'error | orders: stream (unreadable announcement) went to the dead-letter stream: invalid JSON, entry 1-0 | RedisStreams',
    ]);
  });

  it("show a handler's stack once, whatever comes of the failure", () => {
    const error = new TypeError('boom');
    events.emit('error', { error, context: { service: 'orders', stream: 'order-1', attempt: 1, token: 42, during: 'the assigned handler' } });
    events.emit('lease.retried', { ...about, attempt: 1, delayMs: 500, error });
    events.emit('lease.deadLettered', { ...about, entryId: '1-0', reason: 'max-attempts', attempt: 5 });
    expect(lines[0]).toMatch(/^error \| orders: stream "order-1": error in the assigned handler, attempt 1, token 42: boom \| TypeError: boom\n\s+at /);
    expect(lines[1]).toBe('warn | orders: stream "order-1" failed, attempt 1, token 42; again in 500 ms: boom | RedisStreams');
    expect(lines.join('\n').match(/event-logger\.test/g)).toHaveLength(1);
  });

  it('of a hook that fails come once, though it is reported twice', () => {
    const error = new Error('hook');
    events.emit('hook.error', { service: 'orders', hook: 'expired', error });
    events.emit('error', { error, context: { service: 'orders', during: 'the expired hook' } });
    expect(lines).toHaveLength(1);
  });

  it('do not flood the log in an outage, and tell when it is over', () => {
    vi.useFakeTimers();
    events.emit('connection.ready', { connection: 'default', role: 'command' });
    expect(lines).toEqual([expect.stringMatching(/^debug/)]);
    const failed = (failures: number): void => {
      events.emit('reader.error', { service: 'orders', error: new Error('refused'), retryInMs: 200, failures });
      events.emit('connection.error', { connection: 'default', role: 'command', error: new Error('refused') });
    };
    lines.length = 0;
    for (let i = 1; i <= 50; i += 1) failed(i);
    expect(lines).toHaveLength(2);
    vi.advanceTimersByTime(10_001);
    failed(51);
    expect(lines[2]).toMatch(/warn .*reading failed 51 times.*\(and 49 more since\)/);
    events.emit('connection.ready', { connection: 'default', role: 'command' });
    events.emit('reader.recovered', { service: 'orders', failures: 51, downMs: 10_001 });
    expect(lines.slice(-2)).toEqual([expect.stringMatching(/^log .*is ready/), expect.stringMatching(/^log .*reading again/)]);
    failed(1);
    expect(lines.slice(-2)).toEqual([expect.stringMatching(/^warn/), expect.stringMatching(/^warn/)]);
  });
});

it('health is down with what is wrong now, and up again', () => {
  const health = new RedisStreamsHealth(events);
  events.emit('session.lost', { scope: 'orders-input', session: 'c1:1', why: 'silent' });
  events.emit('connection.replaced', { connection: 'default', role: 'blocking', why: 'silent' });
  expect(health.check()['redisStreams']).toEqual({
    status: 'down',
    problems: ['session of orders-input lost: silent', 'connection "default" (blocking): silent'],
  });
  events.emit('session.joined', { scope: 'orders-input', session: 'c1:2', ttlMs: 1_000 });
  events.emit('connection.ready', { connection: 'default', role: 'blocking' });
  expect(health.check('rs')).toEqual({ rs: { status: 'up' } });
  events.emit('partition.terminated', { stream: 'payments', group: 'ledger', consumer: 'c1:1', reason: 'closed' });
  expect(health.check('rs')).toEqual({ rs: { status: 'up' } });
  events.emit('partition.terminated', { stream: 'payments', group: 'ledger', consumer: 'c1:1', reason: 'name-in-use' });
  expect(health.check('rs')).toEqual({ rs: { status: 'down', problems: ['consumer of "payments" in group "ledger" ended: name-in-use'] } });
});
