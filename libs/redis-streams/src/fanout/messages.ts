import { InvalidOptionsError, toError, type OptionProblem } from '../errors/index.js';
import { decodePayload, encodePayload, type WireMessage } from '../kernel/room-wire.js';
import { isHeaders, objectOf } from '../keys/check.js';
import { checkKeys, checkStreamName, describe } from '../keys/names.js';
import type { RawState } from './store.js';
import type { PeekedMessage, RoomHeaders, RoomHooks, RoomSendOptions, RoomState } from './types.js';

const MAX_MESSAGE_LENGTH = 16_777_216;
const MAX_PRIORITY = Number.MAX_SAFE_INTEGER;

/** What is wrong with a room's name. */
export function checkRoom(room: unknown): OptionProblem[] {
  return checkStreamName(room, 'room');
}

/** What is wrong with a subscriber's hooks. */
export function checkHooks(hooks: RoomHooks, path = ''): OptionProblem[] {
  const { joined, ejected } = hooks;
  return Object.entries({ joined, ejected }).flatMap(([name, hook]) => (hook === undefined || typeof hook === 'function' ? [] : [{ path: path + name, message: `must be a function (got ${describe(hook)})` }]));
}

const SEND = ['priority', 'headers', 'await', 'timeoutMs'];
const OUT_OF_BAND = ['headers'];

/** A message as it travels. @throws InvalidOptionsError with everything that is wrong with it */
export function encode(room: unknown, data: unknown, given: RoomSendOptions, outOfBand = false): string {
  const problems = checkRoom(room);
  const options = objectOf(given, 'options', problems);
  problems.push(...checkKeys(options, outOfBand ? OUT_OF_BAND : SEND));
  const bad = (path: string, message: string, value: unknown): void => void problems.push({ path, message: `${message} (got ${describe(value)})` });
  const { priority, headers, timeoutMs } = options;
  if (priority !== undefined && !(Number.isSafeInteger(priority) && Math.abs(priority) <= MAX_PRIORITY)) bad('priority', 'must be a whole number', priority);
  if (options.await !== undefined && options.await !== 'queued' && options.await !== 'acked') bad('await', 'must be "queued" or "acked"', options.await);
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= 2_147_483_647)) bad('timeoutMs', 'must be a number of milliseconds from 1', timeoutMs);
  if (headers !== undefined && !isHeaders(headers)) bad('headers', 'must be an object of strings', headers);
  let text = 'null';
  try {
    text = JSON.stringify(data) ?? 'null';
    if (text.length > MAX_MESSAGE_LENGTH) bad('data', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, text.length);
  } catch (error) {
    problems.push({ path: 'data', message: `must be something JSON can carry: ${toError(error).message}` });
  }
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  // Of a copy: what they inherit (`toJSON`) is not asked.
  return encodePayload(text, headers && { ...headers });
}

/** @throws InvalidOptionsError unless these are numbers of messages, or of rooms */
export function checkCounts(counts: Readonly<Record<string, unknown>>, problems: OptionProblem[] = []): void {
  for (const [path, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || (value as number) < 0) problems.push({ path, message: `must be a whole number from 0 (got ${describe(value)})` });
  }
  if (problems.length > 0) throw new InvalidOptionsError(problems);
}

export function peeked({ id, priority, sentAt, redelivery, payload }: WireMessage): PeekedMessage {
  return { id, priority, sentAt, redelivery, ...readable(payload) };
}

/** What cannot be read is shown as it is. */
function readable(payload: string): { data: unknown; headers: RoomHeaders } {
  try {
    return decodePayload(payload);
  } catch {
    return { data: payload, headers: {} };
  }
}

export function stateOf(room: string, { current, waiting, members, serverMs }: RawState): RoomState {
  return {
    room,
    backlog: waiting,
    current: current && { ...peeked(current.message), deadline: current.deadline },
    members: members.map(({ session, sync, deadline, ttlMs, owes }) => ({
      session, sync, owes,
      lastSeen: deadline !== undefined && deadline > serverMs ? deadline - ttlMs : undefined,
    })),
    owing: members.flatMap(({ session, owes }) => (owes ? [session] : [])),
  };
}
