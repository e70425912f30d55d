import { ConnectionError } from '../errors/index.js';

/** Redis says so of a user who lacks a right. */
const NOPERM = 'NOPERM';

/** What the scripts answer for a room in which this user may not publish. */
export function isRefusal(answer: unknown): boolean {
  return answer === NOPERM;
}

export function refused(channel: string): ConnectionError {
  return new ConnectionError(`${NOPERM} this user may not publish in the channel "${channel}": whoever sends to a room, or is in it, has to`);
}

/** Whether it is a right that is missing: nothing that passes by itself. */
export function isForbidden(error: unknown): error is ConnectionError {
  return error instanceof ConnectionError && error.message.includes(NOPERM);
}
