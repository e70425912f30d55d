import { toError } from '../errors/index.js';

/** Text that is JSON already: a producer sends it as it is. */
export class RawJson {
  constructor(readonly text: string) {}
}

/** What JSON cannot carry, and why. */
export class NotJson {
  constructor(readonly why: string) {}
}

/** As it travels. Once for each message: what is asked for its JSON again may answer something else, or throw. */
export function jsonOf(data: unknown): string | NotJson {
  if (data instanceof RawJson) return data.text;
  try {
    return JSON.stringify(data) ?? 'null';
  } catch (error) {
    return new NotJson(toError(error).message);
  }
}

/** Headers as JSON, or nothing where there are none. Of a copy: what they inherit (`toJSON`) is not asked. */
export function headersJson(headers: Readonly<Record<string, string>> | undefined): string {
  return headers && Object.keys(headers).length > 0 ? JSON.stringify({ ...headers }) : '';
}
