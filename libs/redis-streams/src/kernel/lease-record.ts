/** A lease record as the scripts write it; see scripts/lua/include/record.lua. */
export interface LeaseRecord {
  readonly entryId: string;
  readonly token: number;
  /** Session id, or one of the states without an owner. */
  readonly owner: string;
  readonly attempt: number;
  readonly failures: number;
  /** Server milliseconds. */
  readonly since: number;
  readonly previous?: string;
}

export function parseLeaseRecord(raw: string): LeaseRecord | undefined {
  const parts = raw.split(' ');
  if (parts.length !== 7) return undefined;
  const [entryId, token, owner, attempt, failures, since, previous] = parts as [string, string, string, string, string, string, string];
  return {
    entryId,
    token: Number(token),
    owner,
    attempt: Number(attempt),
    failures: Number(failures),
    since: Number(since),
    ...(previous === '-' ? {} : { previous }),
  };
}
