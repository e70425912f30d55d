import type { Entry } from './effects.js';

/** One ownership of one partition, as its owner wrote it down. */
export interface Tenure {
  readonly partition: number;
  readonly token: number;
  readonly by: string;
  readonly from: string;
  readonly assignedAt: number;
  activeAt?: number;
  drainingAt?: number;
  revokedAt?: number;
  lostAt?: number;
  lostFor?: string;
}

/** All tenures by partition, in the order of their tokens. */
export function tenuresOf(entries: readonly Entry[]): Map<number, Tenure[]> {
  const byToken = new Map<string, Tenure>();
  const byPartition = new Map<number, Tenure[]>();
  for (const { kind, at, by, partition, token, detail } of entries) {
    const id = `${partition} ${token} ${by}`;
    if (kind === 'assigned') {
      const tenure: Tenure = { partition, token, by, from: detail, assignedAt: at };
      byToken.set(id, tenure);
      const list = byPartition.get(partition) ?? [];
      list.push(tenure);
      byPartition.set(partition, list);
    }
    const tenure = byToken.get(id);
    if (!tenure) continue;
    if (kind === 'active') tenure.activeAt = at;
    else if (kind === 'draining') tenure.drainingAt = at;
    else if (kind === 'revoked') tenure.revokedAt = at;
    else if (kind === 'lost') Object.assign(tenure, { lostAt: at, lostFor: detail });
  }
  for (const list of byPartition.values()) list.sort((a, b) => a.token - b.token);
  return byPartition;
}
