import { describe, expect, it } from 'vitest';
import { BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, FencedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { isOutOfMemory, isTransient } from '../../../libs/redis-streams/dist/kernel/server-errors.js';

describe('isTransient', () => {
  it.each([
    'LOADING Redis is loading the dataset in memory', "READONLY You can't write against a read only replica.", 'MOVED 3999 127.0.0.1:6381', 'ASK 3999 127.0.0.1:6381',
    'TRYAGAIN Multiple keys request during rehashing of slot', 'CLUSTERDOWN The cluster is down', 'MASTERDOWN Link with MASTER is down', 'NOREPLICAS Not enough good replicas to write.',
    "OOM command not allowed when used memory > 'maxmemory'.", 'BUSY Redis is busy running a script.', 'UNBLOCKED the stream key no longer exists',
    "NOGROUP No such key 'x' or consumer group 'y'", 'Connection is closed.', "Stream isn't writeable and enableOfflineQueue options is false", 'connect ECONNREFUSED 127.0.0.1:1',
    'read ECONNRESET', 'write EPIPE', 'getaddrinfo ENOTFOUND redis', 'getaddrinfo EAI_AGAIN redis', 'connect ETIMEDOUT', 'Failed to refresh slots cache.', 'None of startup nodes is available', 'Cluster is ended.', 'Cluster is disconnected.', 'Cluster is disconnecting.', 'Node is disconnected', 'Too many Cluster redirections. Last error: x',
    'Reached the max retries per request limit (which is 20).',
  ])('yes: %s', (message) => { expect(isTransient(new Error(message))).toBe(true); });

  it.each([
    'WRONGTYPE Operation against a key holding the wrong kind of value', "NOPERM this user has no permissions to run the 'xadd' command", 'NOAUTH Authentication required.',
    'WRONGPASS invalid username-password pair', 'ERR unknown command', 'NOSCRIPT No matching script.', 'CROSSSLOT Keys in request do not hash to the same slot',
    'ERR value is not an integer', 'x LOADING y', 'MOVEDTO somewhere',
  ])('no: %s', (message) => { expect(isTransient(new Error(message))).toBe(false); });

  it('knows the errors of this package by their own word', () => {
    expect([new ConnectionError('x'), new CommandTimeoutError('GET', 5), new BackpressureError('x', 'y')].map(isTransient)).toEqual([true, true, true]);
    expect([new ClosedError('x'), new FencedError('s', 1, 'done')].map(isTransient)).toEqual([false, false]);
  });

  it('knows a code without a message, and nothing about what is no error', () => {
    expect(isTransient(Object.assign(new Error(''), { code: 'ECONNREFUSED' }))).toBe(true);
    for (const thing of [undefined, null, 'ECONNRESET', 5, {}, Object.create(null)]) expect(isTransient(thing)).toBe(false);
  });
});

it('isOutOfMemory finds the word in what scripts report too', () => {
  expect(isOutOfMemory(new Error("OOM command not allowed when used memory > 'maxmemory'."))).toBe(true);
  expect(isOutOfMemory(new Error('ERR Error running script: -OOM command not allowed'))).toBe(true);
  expect(isOutOfMemory(new Error('ROOM not found'))).toBe(false);
});
