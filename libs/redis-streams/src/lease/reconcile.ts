import type { LeaseStore } from './store.js';

const PAGE = 1_000;

/** Ids pending for the session that it does not know: delivered by an answer that never arrived ("ghost reads"). */
export async function findUnknown(store: LeaseStore, session: string, known: ReadonlySet<string>): Promise<string[]> {
  const unknown: string[] = [];
  let after: string | undefined;
  for (;;) {
    const ids = await store.pendingOf(session, after, PAGE);
    for (const id of ids) if (!known.has(id)) unknown.push(id);
    if (ids.length < PAGE) return unknown;
    after = ids.at(-1);
  }
}
