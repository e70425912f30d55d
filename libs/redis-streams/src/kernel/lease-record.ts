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
  /** Dead owners in a row without a sign of life between them. */
  readonly takeovers: number;
}

export function parseLeaseRecord(raw: string): LeaseRecord | undefined {
  const parts = raw.split(' ');
  if (parts.length !== 8) return undefined;
  const [entryId, token, owner, attempt, failures, since, previous, takeovers] = parts as [string, string, string, string, string, string, string, string];
  return {
    entryId,
    token: Number(token),
    owner,
    attempt: Number(attempt),
    failures: Number(failures),
    since: Number(since),
    takeovers: Number(takeovers),
    ...(previous === '-' ? {} : { previous }),
  };
}
