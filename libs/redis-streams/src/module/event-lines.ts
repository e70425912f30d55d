import type { RedisStreamsEvent } from '../observability/events.js';
import type { ErrorContext } from '../options.js';

export interface EventLine {
  readonly level: 'debug' | 'log' | 'warn' | 'error';
  readonly text: string;
  readonly error?: Error;
  /** Lines that share it come at most once in a while; absent: always. */
  readonly throttle?: string;
}

/** Events at this level are not even formatted when it is off: they come with every stream. */
export const DEBUG_EVENTS: ReadonlySet<RedisStreamsEvent['type']> = new Set([
  'session.renewed', 'lease.announced', 'lease.assigned', 'lease.completed', 'lease.checkpointed',
  'partition.committed', 'room.joined', 'room.left', 'queue.settled', 'transport.callerGone',
]);

/** The line of each event. */
export function lineOf(event: RedisStreamsEvent): EventLine {
  switch (event.type) {
    case 'connection.ready':
      return debug(`connection "${event.connection}" (${event.role}) is ready`);
    case 'connection.error':
      return {
        ...warn(`connection "${event.connection}" (${event.role}): ${event.error.message}`),
        throttle: `${event.type} ${event.connection} ${event.role}`,
      };
    case 'connection.replaced':
      return warn(`connection "${event.connection}" (${event.role}) is being replaced: ${event.why}`);
    case 'server.warning':
      return warn(`connection "${event.connection}": ${event.warning}`);
    case 'session.joined':
      return log(`joined ${event.scope} as ${event.session}, ttl ${event.ttlMs} ms`);
    case 'session.renewed':
      return debug(`session ${event.session} of ${event.scope} renewed in ${event.roundTripMs.toFixed(1)} ms`);
    case 'session.lost':
      return event.why === 'replaced'
        ? failure(`session ${event.session} of ${event.scope} lost: another process has taken its name`)
        : warn(`session ${event.session} of ${event.scope} lost (${event.why}): what it held goes to others; joining again`);
    case 'session.left':
      return log(`left ${event.scope}, session ${event.session}`);
    case 'lease.announced':
      return debug(`${of(event)} ${event.duplicate ? 'is announced already' : 'announced'}, entry ${event.id}`);
    case 'lease.assigned':
      return debug(`${of(event)} assigned (${event.source}), attempt ${event.attempt}, token ${event.token}`);
    case 'lease.takenOver':
      return log(`${of(event)} taken over from ${event.previousOwner}, token ${event.token}`);
    case 'lease.expired':
      return log(`${of(event)} has lost its owner ${event.previousOwner}, token ${event.token}`);
    case 'lease.completed':
      return debug(`${of(event)} done in ${event.durationMs.toFixed(0)} ms, attempt ${event.attempt}, token ${event.token}`);
    case 'lease.checkpointed':
      return debug(`${of(event)} checkpoint ${event.id}, token ${event.token}`);
    case 'lease.retried':
      return warn(`${of(event)} failed, attempt ${event.attempt}, token ${event.token}; again in ${event.delayMs} ms`, event.error);
    case 'lease.released':
      return log(`${of(event)} released (${event.reason}), token ${event.token}`);
    case 'lease.lost':
      return warn(`${of(event)} lost (${event.reason}), token ${event.token}`);
    case 'lease.fenced':
      return warn(`${of(event)}: ${event.operation} refused, token ${event.token} is stale`);
    case 'lease.deadLettered':
      return failure(
        `${of(event)} went to the dead-letter stream: ${event.reason}, entry ${event.entryId}` +
          (event.attempt === undefined ? '' : `, attempt ${event.attempt}, token ${event.token}`),
      );
    case 'lease.handOver':
      return log(`${event.service}: asked to hand over ${event.asked} of ${event.held} streams, fair share ${event.share}`);
    case 'lease.terminated':
      return event.reason === 'closed'
        ? log(`${event.service}: consumer ${event.consumer} ended`)
        : failure(`${event.service}: consumer ${event.consumer} ended: ${event.reason}`, event.error);
    case 'partition.planned':
      return log(`${groupOf(event)}: plan ${event.generation} for ${count(event.members, 'member')} moves ${count(event.moved, 'partition')}`);
    case 'partition.assigned':
      return log(`${at(event)} ${ASSIGNED[event.from]}, token ${event.token}`);
    case 'partition.revoked':
      return log(`${at(event)} handed over (${event.reason}) after ${event.drainMs.toFixed(0)} ms, token ${event.token}`);
    case 'partition.lost':
      return warn(`${at(event)} lost (${event.reason}), token ${event.token}`);
    case 'partition.committed':
      return debug(`${at(event)} committed up to ${event.watermark}, ${count(event.messages, 'message')}, token ${event.token}`);
    case 'partition.retried':
      // When what every message needs is down, every message fails: one line for all that fail alike.
      return {
        ...warn(`${at(event)} message ${event.id}${keyed(event.key)} failed, attempt ${event.attempt}; again in ${event.delayMs.toFixed(0)} ms`, event.error),
        throttle: `${event.type} ${groupOf(event)} ${event.error.name}`,
      };
    case 'partition.deadLettered':
      return failure(`${at(event)} message ${event.id}${keyed(event.key)} went to the dead-letter stream: ${event.reason}, attempt ${event.attempt}`, event.error);
    case 'partition.suspected':
      return failure(`${at(event)} ${event.losses} owners in a row have died at one place: its messages run one by one until the one that ends its process is known`);
    case 'partition.dropped':
      return {
        ...failure(`${event.stream}/${event.partition}: ${count(event.messages, 'message')} dropped unread, the partition is full`),
        throttle: `${event.type} ${event.stream}/${event.partition}`,
      };
    case 'partition.paused':
      return log(`${groupOf(event)}: ${pausedText(event.partitions)}`);
    case 'partition.terminated':
      return event.reason === 'closed'
        ? log(`${groupOf(event)}: consumer ${event.consumer} ended`)
        : failure(`${groupOf(event)}: consumer ${event.consumer} ended: ${event.reason}`, event.error);
    case 'room.joined':
      return debug(`${event.subscriber} is in the room "${event.room}"`);
    case 'room.left':
      return debug(`${event.subscriber} has left the room "${event.room}"`);
    case 'room.ejected':
      // With a session all its rooms are lost, thousands perhaps.
      return { ...warn(`${event.subscriber} ejected from the room "${event.room}" (${event.reason})${event.messageId === undefined ? '' : `, message ${event.messageId} unacknowledged`}; ${event.rejoins ? 'it comes back with the next message' : 'it stays out'}`), throttle: `${event.type} ${event.reason === 'session-lost' ? event.reason : event.room}` };
    case 'room.expelled':
      return warn(event.reason === 'dead' ? `${event.session} is dead: taken out of ${event.rooms} rooms, which go on` : `${event.session} has not acknowledged in time: taken out of the room "${event.room}", which goes on`);
    case 'room.retried':
      return { ...warn(`${event.subscriber} failed on message ${event.id} of the room "${event.room}", attempt ${event.attempt}; again in ${event.delayMs.toFixed(0)} ms`, event.error), throttle: `${event.type} ${event.error.name}` };
    case 'room.redelivered':
      return warn(`message ${event.id} of the room "${event.room}" goes out again: all who saw it went away over it`);
    case 'room.deadLettered':
      return failure(`message ${event.id} of the room "${event.room}" dead-lettered: all who saw it went away over it, each time`);
    case 'room.invalid':
      return { ...warn(`the room "${event.room}" has something that is no message: ${event.error.message}`), throttle: `${event.type} ${event.room}` };
    case 'room.dropped':
      return { ...warn(`${event.subscriber} is slower than the room "${event.room}" (sync: false): message ${event.id} dropped`), throttle: `${event.type} ${event.room}` };
    case 'queue.settled':
      return debug(`${ofQueue(event)}: ${event.done} done, ${event.retried} again later, ${event.deadLettered} given up`);
    case 'queue.retried':
      return { ...warn(`${ofQueue(event)}: message ${event.id} failed, attempt ${event.attempt}; again in ${event.delayMs.toFixed(0)} ms`, event.error), throttle: `${event.type} ${event.queue} ${event.error.name}` };
    case 'queue.deadLettered':
      return failure(`${ofQueue(event)}: message ${event.id} dead-lettered (${event.reason}) after ${count(event.attempt, 'attempt')}`, event.error);
    case 'queue.takenOver':
      return warn(`${ofQueue(event)}: took over ${count(event.messages, 'message')} of a dead consumer`);
    case 'queue.lost':
      return warn(`${ofQueue(event)}: this process was silent past its deadline; ${count(event.messages, 'message')} it held go to others`);
    case 'queue.paused':
      return log(`${ofQueue(event)}: ${event.paused ? 'paused' : 'resumed'}`);
    case 'queue.terminated':
      return event.reason === 'closed' ? log(`${ofQueue(event)}: consumer ended`) : failure(`${ofQueue(event)}: consumer ended: ${event.reason}`, event.error);
    case 'transport.unrouted':
      return { ...warn(`nobody is known to handle the event ${event.pattern}: kept until a server has looked again, then dead-lettered`), throttle: `${event.type} ${event.pattern}` };
    case 'transport.expired':
      return { ...warn(`${event.pattern}: message ${event.id} is ${event.ageMs} ms old and has expired: not run`), throttle: `${event.type} ${event.pattern}` };
    case 'transport.callerGone':
      return debug(`${event.pattern}: whoever sent the request ${event.id} is gone`);
    case 'transport.repliesLost':
      return failure(`the replies to this client could not be kept: ${count(event.requests, 'open request')} failed`);
    case 'deadLetters.replayed':
      return handled(event, `${count(event.replayed, 'dead letter')} replayed${event.skipped === 0 ? '' : `, ${event.skipped} left where they were`}`);
    case 'deadLetters.purged':
      return handled(event, `${count(event.purged, 'dead letter')} purged`);
    case 'reader.error':
      return {
        ...warn(`${event.service}: reading failed ${event.failures} times, again in ${event.retryInMs} ms: ${event.error.message}`),
        throttle: `${event.type} ${event.service}`,
      };
    case 'reader.recovered':
      return log(`${event.service}: reading again after ${event.downMs.toFixed(0)} ms and ${event.failures} failures`);
    case 'hook.error':
      return failure(`${event.service}: hook "${event.hook}" failed`, event.error);
    case 'error':
      return errorLine(event.context, event.error);
  }
}

/** The failures of streams' handlers are told one by one; the same trouble with Redis over and over is not. */
function errorLine(context: ErrorContext, error: Error): EventLine {
  const { attempt, token, during, room } = context;
  const which = [attempt === undefined ? '' : `, attempt ${attempt}`, token === undefined ? '' : `, token ${token}`].join('');
  const line = failure(`${placeOf(context)}: error in ${during}${which}`, error);
  // `during` names the message there; and without an attempt it is trouble with Redis, in all rooms at once.
  if (room !== undefined) return { ...line, throttle: attempt === undefined ? `error of rooms ${during}` : `error ${placeOf(context)}` };
  const isOfHandler = context.stream !== undefined && context.group === undefined;
  return isOfHandler ? line : { ...line, throttle: `error ${placeOf({ ...context, partition: undefined })} ${during}` };
}

function placeOf({ connection, service, stream, queue, group, partition, room }: ErrorContext): string {
  if (queue !== undefined) return `${queue}#${group}`;
  if (room !== undefined) return `room "${room}"`;
  if (group !== undefined) return `${stream}${partition === undefined ? '' : `/${partition}`}#${group}`;
  if (service === undefined) return `connection "${connection ?? 'default'}"`;
  return stream === undefined ? service : of({ service, stream });
}

function of(event: { service: string; stream?: string }): string {
  return `${event.service}: stream ${event.stream === undefined ? '(unreadable announcement)' : `"${event.stream}"`}`;
}

const ASSIGNED = { free: 'assigned', dead: 'taken over, its owner has died', regranted: 'assigned again' } as const;

function ofQueue({ queue, group, shard }: { queue: string; group: string; shard?: number }): string {
  return `${queue}${shard === undefined ? '' : `/${shard}`}#${group}`;
}

function groupOf({ stream, group }: { stream: string; group: string }): string {
  return `${stream}#${group}`;
}

function at({ stream, group, partition }: { stream: string; group: string; partition: number }): string {
  return `${stream}/${partition}#${group}:`;
}

function handled({ kind, source, by, error }: { kind: string; source: string; by: string; error?: Error }, what: string): EventLine {
  const line = `${kind} ${source}: ${what} by ${by}`;
  return error ? failure(`${line}, then it failed`, error) : log(line);
}

function pausedText(partitions: 'all' | readonly number[]): string {
  if (partitions === 'all') return 'all partitions are paused';
  return partitions.length === 0 ? 'nothing is paused any more' : `paused: ${partitions.length === 1 ? 'partition' : 'partitions'} ${partitions.join(', ')}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** Keys are the users' own, so they are quoted and cut. */
function keyed(key: string | undefined): string {
  return key === undefined ? '' : ` of key ${JSON.stringify(key.slice(0, 60))}`;
}

const debug = (text: string): EventLine => ({ level: 'debug', text });
const log = (text: string): EventLine => ({ level: 'log', text });
const warn = (text: string, error?: Error): EventLine => ({ level: 'warn', text, error });
const failure = (text: string, error?: Error): EventLine => ({ level: 'error', text, error });
