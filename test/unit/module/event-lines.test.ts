import { Logger } from '@nestjs/common';
import type { RedisStreamsEventMap, RedisStreamsEventName, RedisStreamsEvents } from 'nestjs-redis-streams';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { appOf } from './support/fake-engine.js';

const lines: string[] = [];
const sink = Object.fromEntries(
  ['debug', 'log', 'warn', 'error'].map((level) => [level, (text: string) => void lines.push(`${level}: ${text.split('\n')[0]}`)]),
) as never;

let events: RedisStreamsEvents;
beforeEach(async () => {
  ({ events } = (await appOf({})).engine);
  Logger.overrideLogger(sink);
  lines.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  Logger.overrideLogger(false);
});

const group = { stream: 'shop:payments', group: 'ledger' };
const partition = { ...group, partition: 3, token: 42 };
const message = { ...partition, id: '17-0', key: 'acc "1"', attempt: 2 };

const subscriber = { room: 'lobby', subscriber: 'c1/2' };

type Case = { [K in RedisStreamsEventName]: readonly [K, RedisStreamsEventMap[K], string] }[RedisStreamsEventName];
const CASES: readonly Case[] = [
  ['partition.planned', { ...group, generation: 7, members: 3, moved: 1 }, 'log: shop:payments#ledger: plan 7 for 3 members moves 1 partition'],
  ['partition.assigned', { ...partition, from: 'free' }, 'log: shop:payments/3#ledger: assigned, token 42'],
  ['partition.assigned', { ...partition, from: 'dead' }, 'log: shop:payments/3#ledger: taken over, its owner has died, token 42'],
  ['partition.assigned', { ...partition, from: 'regranted' }, 'log: shop:payments/3#ledger: assigned again, token 42'],
  ['partition.revoked', { ...partition, reason: 'rebalance', drainMs: 12.4 }, 'log: shop:payments/3#ledger: handed over (rebalance) after 12 ms, token 42'],
  ['partition.lost', { ...partition, reason: 'session-lost' }, 'warn: shop:payments/3#ledger: lost (session-lost), token 42'],
  ['partition.committed', { ...partition, watermark: '17-0', messages: 1 }, 'debug: shop:payments/3#ledger: committed up to 17-0, 1 message, token 42'],
  ['partition.retried', { ...message, delayMs: 500.4, error: new TypeError('no') }, 'warn: shop:payments/3#ledger: message 17-0 of key "acc \\"1\\"" failed, attempt 2; again in 500 ms: TypeError: no'],
  ['partition.deadLettered', { ...message, reason: 'max-attempts', error: new Error('no') }, 'error: shop:payments/3#ledger: message 17-0 of key "acc \\"1\\"" went to the dead-letter stream: max-attempts, attempt 2: no'],
  ['partition.deadLettered', { ...message, key: undefined, reason: 'crashed' }, 'error: shop:payments/3#ledger: message 17-0 went to the dead-letter stream: crashed, attempt 2'],
  ['partition.suspected', { ...partition, losses: 2 }, 'error: shop:payments/3#ledger: 2 owners in a row have died at one place: its messages run one by one until the one that ends its process is known'],
  ['partition.dropped', { stream: 'shop:payments', partition: 3, messages: 5 }, 'error: shop:payments/3: 5 messages dropped unread, the partition is full'],
  ['partition.paused', { ...group, partitions: 'all' }, 'log: shop:payments#ledger: all partitions are paused'],
  ['partition.paused', { ...group, partitions: [1, 2] }, 'log: shop:payments#ledger: paused: partitions 1, 2'],
  ['partition.paused', { ...group, partitions: [] }, 'log: shop:payments#ledger: nothing is paused any more'],
  ['partition.terminated', { ...group, consumer: 'c1:1', reason: 'closed' }, 'log: shop:payments#ledger: consumer c1:1 ended'],
  ['partition.terminated', { ...group, consumer: 'c1:1', reason: 'name-in-use', error: new Error('taken') }, 'error: shop:payments#ledger: consumer c1:1 ended: name-in-use: taken'],
  ['error', { error: new Error('odd'), context: { ...group, partition: 3, token: 42, connection: 'default', during: 'committing' } }, 'error: shop:payments/3#ledger: error in committing, token 42: odd'],
  ['error', { error: new Error('odd'), context: { ...group, connection: 'default', during: 'joining again' } }, 'error: shop:payments#ledger: error in joining again: odd'],
  ['hook.error', { service: 'shop:payments#ledger', hook: 'revoked', error: new Error('odd') }, 'error: shop:payments#ledger: hook "revoked" failed: odd'],
];

const ROOMS: readonly Case[] = [
  ['room.joined', subscriber, 'debug: c1/2 is in the room "lobby"'],
  ['room.left', subscriber, 'debug: c1/2 has left the room "lobby"'],
  ['room.ejected', { ...subscriber, reason: 'timeout', messageId: '7', rejoins: true }, 'warn: c1/2 ejected from the room "lobby" (timeout), message 7 unacknowledged; it comes back with the next message'],
  ['room.ejected', { ...subscriber, reason: 'removed', messageId: undefined, rejoins: false }, 'warn: c1/2 ejected from the room "lobby" (removed); it stays out'],
  ['room.expelled', { session: 'c1:1', reason: 'dead', rooms: 3 }, 'warn: c1:1 is dead: taken out of 3 rooms, which go on'],
  ['room.expelled', { session: 'c1:1', reason: 'timeout', rooms: 1, room: 'lobby' }, 'warn: c1:1 has not acknowledged in time: taken out of the room "lobby", which goes on'],
  ['room.retried', { ...subscriber, id: '7', attempt: 2, delayMs: 20.4, error: new TypeError('no') }, 'warn: c1/2 failed on message 7 of the room "lobby", attempt 2; again in 20 ms: TypeError: no'],
  ['room.redelivered', { room: 'lobby', id: '7' }, 'warn: message 7 of the room "lobby" goes out again: all who saw it went away over it'],
  ['room.deadLettered', { room: 'lobby', id: '7' }, 'error: message 7 of the room "lobby" dead-lettered: all who saw it went away over it, each time'],
  ['room.invalid', { room: 'lobby', id: undefined, error: new Error('odd') }, 'warn: the room "lobby" has something that is no message: odd'],
  ['room.dropped', { ...subscriber, id: '7' }, 'warn: c1/2 is slower than the room "lobby" (sync: false): message 7 dropped'],
  ['error', { error: new Error('odd'), context: { room: 'lobby', attempt: 5, connection: 'default', during: 'the handler of message 7' } }, 'error: room "lobby": error in the handler of message 7, attempt 5: odd'],
];

const shard = { queue: 'shop:mails', group: 'senders', shard: 1 };
const QUEUES: Array<[RedisStreamsEventName, object, string]> = [
  ['queue.settled', { ...shard, done: 7, retried: 1, deadLettered: 0 }, 'debug: shop:mails/1#senders: 7 done, 1 again later, 0 given up'],
  ['queue.retried', { ...shard, id: '17-0', attempt: 2, delayMs: 1_500.4, error: new Error('no') }, 'warn: shop:mails/1#senders: message 17-0 failed, attempt 2; again in 1500 ms: Error: no'],
  ['queue.deadLettered', { ...shard, id: '17-0', reason: 'max-attempts', attempt: 5, error: new Error('no') }, 'error: shop:mails/1#senders: message 17-0 dead-lettered (max-attempts) after 5 attempts: no'],
  ['queue.deadLettered', { ...shard, id: '17-0', reason: 'crashed', attempt: 1 }, 'error: shop:mails/1#senders: message 17-0 dead-lettered (crashed) after 1 attempt'],
  ['queue.takenOver', { ...shard, messages: 3 }, 'warn: shop:mails/1#senders: took over 3 messages of a dead consumer'],
  ['queue.lost', { ...shard, messages: 1 }, 'warn: shop:mails/1#senders: this process was silent past its deadline; 1 message it held go to others'],
  ['queue.paused', { queue: 'shop:mails', group: 'senders', paused: true }, 'log: shop:mails#senders: paused'],
  ['queue.paused', { queue: 'shop:mails', group: 'senders', paused: false }, 'log: shop:mails#senders: resumed'],
  ['queue.terminated', { queue: 'shop:mails', group: 'senders', reason: 'closed' }, 'log: shop:mails#senders: consumer ended'],
  ['queue.terminated', { queue: 'shop:mails', group: 'senders', reason: 'name-in-use', error: new Error('taken') }, 'error: shop:mails#senders: consumer ended: name-in-use: taken'],
  ['error', { error: new Error('odd'), context: { queue: 'shop:mails', group: 'senders', connection: 'default', during: 'settling' } }, 'error: shop:mails#senders: error in settling: odd'],
];

describe('lines of queues', () => {
  it.each(QUEUES)('%s', (name, event, line) => {
    events.emit(name, event as never);
    expect(lines).toEqual([line]);
  });

  it('stand for every event of the capability', () => {
    const told = new Set(QUEUES.map(([name]) => name).filter((name) => name.startsWith('queue.')));
    const all: Record<Extract<RedisStreamsEventName, `queue.${string}`>, true> = {
      'queue.settled': true, 'queue.retried': true, 'queue.deadLettered': true, 'queue.takenOver': true, 'queue.lost': true, 'queue.paused': true, 'queue.terminated': true,
    };
    expect([...told].toSorted()).toEqual(Object.keys(all).toSorted());
  });
});

describe('lines of partitions', () => {
  it.each(CASES)('%s', (name, event, line) => {
    events.emit(name, event as never);
    expect(lines).toEqual([line]);
  });

  it('stand for every event of the capability', () => {
    const told = new Set(CASES.map(([name]) => name).filter((name) => name.startsWith('partition.')));
    const all: Record<Extract<RedisStreamsEventName, `partition.${string}`>, true> = {
      'partition.planned': true, 'partition.assigned': true, 'partition.revoked': true, 'partition.lost': true, 'partition.committed': true,
      'partition.retried': true, 'partition.deadLettered': true, 'partition.suspected': true, 'partition.dropped': true,
      'partition.paused': true, 'partition.terminated': true,
    };
    expect([...told].toSorted()).toEqual(Object.keys(all).toSorted());
  });

  it('do not flood the log when every message fails alike; dead letters are told one by one', () => {
    vi.useFakeTimers();
    const down = (i: number): Error => Object.assign(new Error(`down ${i}`), { name: 'DatabaseDown' });
    for (let i = 0; i < 100; i += 1) {
      const error = down(i);
      events.emit('partition.retried', { ...message, partition: i % 8, id: `${i}-0`, delayMs: 1, error });
      events.emit('error', { error, context: { ...group, partition: i % 8, token: 42, attempt: 2, during: 'handling a message' } });
    }
    events.emit('partition.retried', { ...message, delayMs: 1, error: new RangeError('another kind') });
    expect(lines).toHaveLength(2);
    vi.advanceTimersByTime(10_001);
    events.emit('partition.retried', { ...message, delayMs: 1, error: down(100) });
    expect(lines[2]).toMatch(/again in 1 ms \(and 99 more since\): DatabaseDown: down 100/);
    lines.length = 0;
    for (let i = 0; i < 3; i += 1) events.emit('partition.deadLettered', { ...message, id: `${i}-0`, reason: 'max-attempts', error: down(i) });
    expect(lines).toHaveLength(3);
  });
});

describe('lines of rooms', () => {
  it.each(ROOMS)('%s', (name, event, line) => {
    events.emit(name, event as never);
    expect(lines).toEqual([line]);
  });

  it('stand for every event of the capability', () => {
    const told = new Set(ROOMS.map(([name]) => name).filter((name) => name.startsWith('room.')));
    const all: Record<Extract<RedisStreamsEventName, `room.${string}`>, true> = {
      'room.joined': true, 'room.left': true, 'room.ejected': true, 'room.expelled': true, 'room.retried': true, 'room.redelivered': true,
      'room.deadLettered': true, 'room.invalid': true, 'room.dropped': true,
    };
    expect([...told].toSorted()).toEqual(Object.keys(all).toSorted());
  });

  it('do not flood the log when all messages fail, when thousands of rooms are lost at once, or when none can be joined again', () => {
    vi.useFakeTimers();
    for (let i = 0; i < 100; i += 1) {
      const about = { room: `room-${i % 2}`, subscriber: 'c1/2' };
      events.emit('room.retried', { ...about, id: String(i), attempt: 1, delayMs: 1, error: new Error(`down ${i}`) });
      events.emit('error', { error: new Error(`down again ${i}`), context: { room: about.room, attempt: 5, during: `the handler of message ${i}` } });
      events.emit('error', { error: new Error('no answer'), context: { room: `lost-${i}`, during: 'joining or leaving' } });
      events.emit('room.ejected', { room: `lost-${i}`, subscriber: 'c1/3', reason: 'session-lost', messageId: undefined, rejoins: true });
      events.emit('room.ejected', { ...about, reason: 'failed', messageId: String(i), rejoins: true });
    }
    expect(lines).toHaveLength(1 + 2 + 1 + 1 + 2);
    vi.advanceTimersByTime(10_001);
    events.emit('room.ejected', { room: 'room-0', subscriber: 'c1/2', reason: 'failed', messageId: '101', rejoins: true });
    expect(lines.at(-1)).toMatch(/\(failed\), message 101 .*\(and 49 more since\)/);
    // However many rooms have trouble of their own, what is remembered of them is bounded, and the newest still held back.
    lines.length = 0;
    for (let i = 0; i < 5_000; i += 1) events.emit('room.dropped', { room: `many-${i}`, subscriber: 'c1/4', id: '1' });
    for (let i = 4_900; i < 5_000; i += 1) events.emit('room.dropped', { room: `many-${i}`, subscriber: 'c1/4', id: '2' });
    expect(lines).toHaveLength(5_000);
  });
});
