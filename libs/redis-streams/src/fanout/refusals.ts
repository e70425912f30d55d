import { ConnectionError } from '../errors/index.js';

/** Redis says so of a user who lacks a right. */
const NOPERM = 'NOPERM';
/** What the scripts answer for a room one of whose keys is something else. Behind it the key, unless it is to be short. */
const FOREIGN = /^foreign\b ?/i;

/** Why a room was left as it is, from the script's answer for it; undefined: it was not. */
export function refusalOf(answer: string, state: string): ConnectionError | undefined {
  if (answer === NOPERM) return new ConnectionError(`${NOPERM} this user may not publish in the channel "${state}": whoever sends to a room, or is in it, has to`);
  if (FOREIGN.test(answer)) return new ConnectionError(`WRONGTYPE the key "${answer.replace(FOREIGN, '') || state}" of a room, or its backlog, is nothing that this library has written; the room stands still`);
  return undefined;
}

/** That outcomes are not to be had, because their key is something else. @throws what is no such error */
export function unaskable(error: unknown, key: string): ConnectionError {
  if (!(error instanceof Error) || !error.message.includes('WRONGTYPE')) throw error;
  return new ConnectionError(`WRONGTYPE the key "${key}" is nothing that this library has written: whether a room's message was acknowledged is told once, and cannot be asked for`);
}

/** Whether it is a right that is missing: nothing that passes by itself. */
export function isForbidden(error: unknown): error is ConnectionError {
  return error instanceof ConnectionError && error.message.includes(NOPERM);
}
