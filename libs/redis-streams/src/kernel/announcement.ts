import { isUtf8 } from 'node:buffer';

export type AnnouncementProblem =
  | 'invalid-utf8'
  | 'invalid-json'
  | 'too-deep'
  | 'forbidden-key'
  | 'missing-stream-name'
  | 'invalid-info';

export type DecodedAnnouncement =
  | { readonly ok: true; readonly stream: string; readonly info: Record<string, unknown> }
  | { readonly ok: false; readonly reason: AnnouncementProblem };

/**
 * Decodes the `lbs-input` field: `{"DataStreamName": string, "Info": object}` as redis-stream-client-go writes it.
 * A missing or null `Info` is an empty object. Never throws.
 */
export function decodeAnnouncement(payload: Buffer, maxDepth: number): DecodedAnnouncement {
  if (!isUtf8(payload)) return { ok: false, reason: 'invalid-utf8' };
  const text = payload.toString('utf8');
  // Measured before parsing: code that later walks the value recursively must not meet 50,000 levels.
  if (nestingDepth(text) > maxDepth) return { ok: false, reason: 'too-deep' };
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'invalid-json' };
  }
  if (!isPlainObject(message)) return { ok: false, reason: 'missing-stream-name' };
  // `__proto__` can only be spelled out or hidden behind an escape; both are rare enough to look closely then.
  if ((text.includes('__proto__') || text.includes('\\u')) && hasProtoKey(message)) return { ok: false, reason: 'forbidden-key' };
  const { DataStreamName: stream, Info: info } = message;
  if (typeof stream !== 'string' || stream === '') return { ok: false, reason: 'missing-stream-name' };
  if (info === undefined || info === null) return { ok: true, stream, info: {} };
  if (!isPlainObject(info)) return { ok: false, reason: 'invalid-info' };
  return { ok: true, stream, info };
}

export function encodeAnnouncement(stream: string, info: Record<string, unknown>): string {
  return JSON.stringify({ DataStreamName: stream, Info: info });
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Depth of brackets outside strings. Linear, no recursion; on invalid JSON an estimate, which the parser then refuses. */
export function nestingDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}

/** The depth is bounded by now, so recursion is safe. */
function hasProtoKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Object.prototype.hasOwnProperty.call(value, '__proto__')) return true;
  return Object.values(value).some(hasProtoKey);
}
