export interface Granted { readonly stream: string; readonly entryId: string; readonly attempt: number; readonly token: number }

const byAnnouncement = (a: Granted, b: Granted): number => {
  const [a1 = 0, a2 = 0] = a.entryId.split('-').map(Number);
  const [b1 = 0, b2 = 0] = b.entryId.split('-').map(Number);
  return a1 - b1 || a2 - b2 || a.attempt - b.attempt || a.token - b.token;
};

/**
 * Grants of one stream whose token is not above that of the grant before. "Before" is told by the announcement
 * (entry ids are server times, and one announcement of a stream ends before the next begins) and, within it, by
 * the attempt; no two processes' clocks are compared. The same token seen twice is one grant told twice.
 */
export function tokensGoneBack(grants: readonly Granted[]): string[] {
  const streams = group(grants);
  const back: string[] = [];
  for (const [stream, list] of streams) {
    const ordered = [...list].sort(byAnnouncement);
    for (let i = 1; i < ordered.length; i++) {
      const [before, after] = [ordered[i - 1], ordered[i]];
      if (before && after && after.token < before.token) back.push(`${stream}: ${before.token} (${before.entryId}) before ${after.token} (${after.entryId})`);
    }
  }
  return back;
}

function group(grants: readonly Granted[]): Map<string, Granted[]> {
  const map = new Map<string, Granted[]>();
  for (const grant of grants) {
    const list = map.get(grant.stream);
    if (list) list.push(grant);
    else map.set(grant.stream, [grant]);
  }
  return map;
}
