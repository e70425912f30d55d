import type { LoggerService } from '@nestjs/common';
import type { RedisStreamsEvents } from 'nestjs-redis-streams';
import { count, say } from '../ui/lines.js';

/** Nest's own errors in the demo's format. The library's log lines are told by {@link narrate} in the demo's words. */
export function demoLogger(who: string): LoggerService {
  const at = (verb: string) => (message: unknown, ...rest: unknown[]): void => {
    if (verb === 'warning' && rest.includes('RedisStreams')) return;
    say(who, verb, '', message instanceof Error ? message.message : String(message));
  };
  return { log: () => undefined, debug: () => undefined, verbose: () => undefined, warn: at('warning'), error: at('error'), fatal: at('error') };
}

/** Everything of a session's and connection's fate that a person watching should see. */
export function narrate(who: string, events: RedisStreamsEvents): void {
  let joined = 0;
  events.on('session.joined', ({ session, ttlMs }) => say(who, joined++ === 0 ? 'joined' : 'rejoined', '', `as ${session}, session ttl ${ttlMs} ms`));
  events.on('session.lost', ({ session, why }) => say(who, 'warning', '', `session ${session} is over (${why}): what it held belongs to others now`));
  events.on('lease.fenced', ({ stream, operation, token }) => say(who, 'refused', stream, `${operation} with the stale token ${token}`));
  events.on('lease.retried', ({ stream, delayMs, error }) => say(who, 'warning', stream, `failed (${error.message}); again in ${Math.round(delayMs)} ms`));
  events.on('lease.deadLettered', ({ stream, reason }) => say(who, 'error', stream ?? '', `went to the dead-letter stream: ${reason}`));
  events.on('lease.handOver', ({ asked, held, share }) => say(who, 'rebalance', '', `holds ${held}, fair share ${share}: handing on ${asked}`));
  events.on('partition.retried', ({ partition, key, attempt, delayMs, error }) => say(who, 'warning', key ?? '', `failed in partition ${partition}, attempt ${attempt} (${error.message}); again in ${Math.round(delayMs)} ms`));
  events.on('connection.replaced', ({ role, why }) => say(who, 'warning', '', `${role} connection replaced: ${why}`));
  events.on('reader.error', ({ error, retryInMs }) => say(who, 'warning', '', `reading failed (${error.message}); again in ${Math.round(retryInMs)} ms`));
  events.on('reader.recovered', ({ downMs }) => say(who, 'recovered', '', `reading again after ${Math.round(downMs)} ms`));
}

/** What becomes of a queue's consumer and of what others left. Failures are too many for a line each. */
export function narrateQueues(who: string, events: RedisStreamsEvents): void {
  let joined = false;
  events.on('session.joined', ({ session, ttlMs }) => {
    if (!joined) say(who, 'joined', '', `as ${session}, session ttl ${ttlMs} ms`);
    joined = true;
  });
  events.on('session.lost', ({ session, why }) => say(who, 'warning', '', `session ${session} is over (${why}): what it held belongs to others now`));
  events.on('queue.takenOver', ({ shard, messages }) => say(who, 'claimed', `shard ${shard}`, `${count(messages, 'job')} of a dead processor`));
  events.on('connection.replaced', ({ role, why }) => say(who, 'warning', '', `${role} connection replaced: ${why}`));
}

/** What becomes of an instance's part in the events and requests of its patterns: one session for each. */
export function narrateShop(who: string, events: RedisStreamsEvents): void {
  events.on('session.lost', ({ session, why }) => say(who, 'warning', '', `session ${session} is over (${why}): what it held belongs to others now`));
  events.on('queue.takenOver', ({ queue, messages }) => say(who, 'claimed', queue.slice(queue.indexOf(':') + 1), `${count(messages, 'message')} of a dead instance`));
  events.on('connection.replaced', ({ role, why }) => say(who, 'warning', '', `${role} connection replaced: ${why}`));
}

/** What a room decides about its members. Clients tell their own part. */
export function narrateRooms(who: string, events: RedisStreamsEvents): void {
  events.on('room.ejected', ({ room, subscriber, reason }) => say(who, 'ejected', room, `subscriber ${subscriber} (${reason})`));
  events.on('room.expelled', ({ session, reason, rooms }) => say(who, 'expelled', '', `session ${session} (${reason}) from ${count(rooms, 'room')}`));
  events.on('room.redelivered', ({ room, id }) => say(who, 'again', room, `message ${id}: nobody who is left has acknowledged it`));
  events.on('room.invalid', ({ room, error }) => say(who, 'warning', room, error.message));
}
