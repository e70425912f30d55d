/** Stream entry ids are `ms-seq`; compare them as the server does, never as text. Beyond 2^53 they are still exact. */
export function compareStreamIds(a: string, b: string): number {
  const [a1, a2] = parts(a);
  const [b1, b2] = parts(b);
  if (a1 !== b1) return a1 < b1 ? -1 : 1;
  if (a2 !== b2) return a2 < b2 ? -1 : 1;
  return 0;
}

const ID = /^\d{1,20}(-\d{1,20})?$/;
const MAX_HALF = 2n ** 64n - 1n;

export function isStreamId(text: unknown): text is string {
  return typeof text === 'string' && ID.test(text) && parts(text).every((half) => half <= MAX_HALF);
}

function parts(id: string): [bigint, bigint] {
  const dash = id.indexOf('-');
  return dash < 0 ? [BigInt(id), 0n] : [BigInt(id.slice(0, dash)), BigInt(id.slice(dash + 1))];
}
