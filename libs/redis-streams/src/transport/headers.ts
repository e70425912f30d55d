import type { Headers } from '../handling/headers.js';

/** Names of the headers that are the transport's own. Those of users must not begin like them. */
export const RESERVED = 'nrs-';
export const HEADER = {
  /** Key of the stream that a request's replies go to. */
  replies: 'nrs-replies',
  /** Id of a request among those of its client. */
  request: 'nrs-request',
  /** `packet.metadata` of Nest, JSON. */
  metadata: 'nrs-metadata',
  /** How the data is to be read when it is not plain JSON: `msgpack`, `packet` or `bytes`. */
  codec: 'nrs-codec',
  /** Milliseconds after which it is not to be run any more. */
  ttl: 'nrs-ttl',
  /** The pattern, where the name of the queue does not tell it. */
  pattern: 'nrs-pattern',
  /** Its key, where it is kept until it goes to a partitioned stream. */
  key: 'nrs-key',
} as const;

const NOTHING: Readonly<Record<string, string>> = Object.freeze({});

/** Those that the sender of the message gave. */
export function ownHeaders(headers: Headers): Headers {
  const own = Object.create(null) as Record<string, string>;
  for (const name in headers) if (!name.startsWith(RESERVED)) own[name] = headers[name]!;
  return own;
}

export function metadataOf(headers: Headers): Readonly<Record<string, string>> {
  const text = headers[HEADER.metadata];
  if (text === undefined) return NOTHING;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, string>) : NOTHING;
  } catch {
    return NOTHING;
  }
}
