import { RedisStreamsEvents, RedisStreamsHealth } from 'nestjs-redis-streams';
import { beforeEach, describe, expect, it } from 'vitest';

let events: RedisStreamsEvents;
let health: RedisStreamsHealth;
beforeEach(() => {
  events = new RedisStreamsEvents();
  health = new RedisStreamsHealth(events);
});

let sessions = 0;
const lose = (scope: string): void => events.emit('session.lost', { scope, session: `me:${++sessions}`, why: 'silent' });
const join = (scope: string): void => events.emit('session.joined', { scope, session: 'me:0', ttlMs: 10_000 });
const problems = (): readonly string[] => health.check()['redisStreams']?.problems ?? [];

describe('lost sessions', () => {
  it('are a problem until they are joined again', () => {
    lose('orders-input');
    expect(health.check('streams')).toEqual({ streams: { status: 'down', problems: ['session of orders-input lost: silent'] } });
    join('orders-input');
    expect(health.check()).toEqual({ redisStreams: { status: 'up' } });
  });

  it('of a consumer that has ended are none any more', () => {
    for (const scope of ['jobs/0#default', 'jobs/11#default', 'orders#mail', 'files-input']) lose(scope);
    events.emit('queue.terminated', { queue: 'jobs', group: 'default', reason: 'closed' });
    expect(problems()).toEqual(['session of orders#mail lost: silent', 'session of files-input lost: silent']);
    events.emit('partition.terminated', { stream: 'orders', group: 'mail', consumer: 'me', reason: 'closed' });
    expect(problems()).toEqual(['session of files-input lost: silent']);
    events.emit('lease.terminated', { service: 'files', consumer: 'me', reason: 'name-in-use' });
    expect(problems()).toEqual(['consumer of "files" ended: name-in-use']);
  });

  it('of others are, also of those with names that look alike', () => {
    const others = ['jobs/0#other', 'jobs2/0#default', 'jobs/x/0#default', 'x/jobs/0#default', 'jobs/0#x#default', 'fanout 0'];
    for (const scope of others) lose(scope);
    events.emit('queue.terminated', { queue: 'jobs', group: 'default', reason: 'closed' });
    expect(problems()).toHaveLength(others.length);
  });

  it('are counted where one scope has several, over two connections', () => {
    lose('fanout 0');
    lose('fanout 0');
    expect(problems()).toEqual(['session of fanout 0 lost: silent']);
    join('fanout 0');
    expect(problems()).toEqual(['session of fanout 0 lost: silent']);
    events.emit('session.left', { scope: 'fanout 0', session: 'me:0' });
    expect(problems()).toEqual(['session of fanout 0 lost: silent']);
    join('fanout 0');
    expect(health.check()).toEqual({ redisStreams: { status: 'up' } });
  });
});
