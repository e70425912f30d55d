import type { LeaseStore } from './store.js';

const PAGE = 1_000;

/** Ids pending for the session that it does not know: delivered by an answer that never arrived ("ghost reads"). */
export async function findUnknown(store: LeaseStore, session: string, known: () => ReadonlySet<string>): Promise<string[]> {
  const unknown: string[] = [];
  let after: string | undefined;
  for (;;) {
    const ids = await store.pendingOf(session, after, PAGE);
    unknown.push(...ids);
    if (ids.length < PAGE) break;
    after = ids.at(-1);
  }
  // As it is by now: what an answer has brought meanwhile is known.
  const now = known();
  return unknown.filter((id) => !now.has(id));
}
