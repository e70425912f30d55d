import type { ReadPacket } from '@nestjs/microservices';
import { InvalidOptionsError } from '../errors/index.js';
import { describe } from '../keys/names.js';
import { HEADER } from './headers.js';
import { isRecord, type RecordOptions } from './record.js';

const NONE: RecordOptions = {};

/** Data, and what a record adds to it. */
export function unwrapped(data: unknown): { readonly data: unknown; readonly options: RecordOptions } {
  return isRecord(data) ? { data: data.data, options: data.options } : { data, options: NONE };
}

/** Undefined: it needs none. */
export function headersOf(packet: ReadPacket, { headers }: RecordOptions, codec: string | undefined, ttlMs: number | undefined): Record<string, string> | undefined {
  const { metadata } = packet as { readonly metadata?: Readonly<Record<string, string>> };
  if (!headers && codec === undefined && ttlMs === undefined && !metadata) return undefined;
  return {
    ...headers,
    ...(metadata && { [HEADER.metadata]: JSON.stringify(metadata) }),
    ...(codec !== undefined && { [HEADER.codec]: codec }),
    ...(ttlMs !== undefined && { [HEADER.ttl]: String(Math.ceil(ttlMs)) }),
  };
}

/** As Nest has it. */
export function isNil(value: unknown): boolean {
  return value === undefined || value === null;
}

/** @param normalized as Nest makes it, which leaves what it does not know. @throws InvalidOptionsError */
export function routeOf(normalized: unknown, pattern: unknown): string {
  if (typeof normalized === 'string') return normalized;
  throw new InvalidOptionsError([{ path: 'pattern', message: `must be a string, a number or an object (got ${describe(pattern)})` }]);
}

/** For a line of the log about what may have no route. */
export function labelOf(route: () => string): string {
  try {
    return route();
  } catch {
    return 'without a pattern';
  }
}
