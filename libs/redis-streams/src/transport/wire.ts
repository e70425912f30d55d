/** How a reply stands in the stream of its client: an entry's `data` is a JSON array of these. */
export type Reply = readonly [request: string, sequence: number, kind: ReplyKind, value?: unknown, codec?: string];

export const REPLY = { value: 0, last: 1, end: 2, error: 3 } as const;
export type ReplyKind = (typeof REPLY)[keyof typeof REPLY];

/** @param value JSON */
export function writeReply(request: string, sequence: number, kind: ReplyKind, value?: string, codec?: string): string {
  const head = `[${JSON.stringify(request)},${sequence},${kind}`;
  if (value === undefined) return `${head}]`;
  return codec === undefined ? `${head},${value}]` : `${head},${value},${JSON.stringify(codec)}]`;
}

/** Replies of one entry; what is none is left out. */
export function readReplies(text: string): Reply[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed.filter(isReply) : [];
  } catch {
    return [];
  }
}

function isReply(reply: unknown): reply is Reply {
  return Array.isArray(reply) && typeof reply[0] === 'string' && Number.isInteger(reply[1]) && Number.isInteger(reply[2]);
}
