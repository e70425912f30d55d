import { tenuresOf } from './tenures.js';
import type { Entry } from './effects.js';
import type { PartitionWorld } from './world.js';

/** Owners as the workers themselves say: who has said last that a partition is its, and has not said otherwise. */
class Said {
  private readonly active = new Map<number, { token: number; by: string }>();
  private seen = 0;

  take(entries: readonly Entry[]): void {
    for (; this.seen < entries.length; this.seen++) {
      const { kind, partition, token, by } = entries[this.seen]!;
      if (kind === 'active' && token > (this.active.get(partition)?.token ?? 0)) this.active.set(partition, { token, by });
      if ((kind === 'revoked' || kind === 'lost') && this.active.get(partition)?.token === token) this.active.delete(partition);
    }
  }

  of(partition: number): { token: number; by: string } | undefined {
    return this.active.get(partition);
  }
}

export interface Convergence {
  /** Resolves with the server time at which it was seen; undefined: not within the time. */
  until(deadline: number): Promise<number | undefined>;
  /** What was missing when it was last looked at. */
  missing(): string;
}

/** Converged: the server's members are those that live, every partition has the owner it shall have, as evenly as can be, and its owner says so. */
export function convergence(world: PartitionWorld): Convergence {
  const said = new Said();
  let missing = '';
  const look = async (): Promise<string> => {
    const { settled, members, owners } = await world.client.assignment(world.ref);
    const live = new Map(world.running().map((member) => [member.name, member.process.label]));
    const strangers = members.filter(({ name }) => !live.has(name));
    if (members.length !== live.size || strangers.length > 0) return `${members.length} members instead of ${live.size}; dead: ${strangers.map(({ name }) => name).join(' ') || 'none'}`;
    if (!settled) return 'not settled';
    const sizes = members.map(({ owned }) => owned.length);
    if (Math.max(...sizes) - Math.min(...sizes) > 1) return `from ${Math.min(...sizes)} to ${Math.max(...sizes)} partitions each`;
    said.take(await world.ledger.entries());
    for (const { partition, owner, fencingToken } of owners) {
      const owned = said.of(partition);
      if (owner === undefined || owned?.token !== fencingToken || owned.by !== live.get(owner)) return `partition ${partition} is ${owner ?? 'nobody'}'s, says the server, and ${owned?.by ?? 'nobody'}'s, say the workers`;
    }
    return '';
  };
  return {
    until: async (deadline) => {
      for (;;) {
        missing = await look();
        const at = world.now();
        if (missing === '') return at;
        if (at > deadline) return undefined;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    missing: () => missing,
  };
}

/** Two live owners at once, by their own words: one was told that it has a partition before the other had let go of it or died. */
export function overlapsOf(entries: readonly Entry[], diedAt: ReadonlyMap<string, number>): string[] {
  const found: string[] = [];
  for (const [partition, tenures] of tenuresOf(entries)) {
    for (const [i, { by, token, revokedAt, lostAt, lostFor }] of tenures.entries()) {
      const next = tenures[i + 1];
      // What a stalled process lost at its deadline it notices late; that nothing was taken before, the monitor sees.
      if (!next || lostFor === 'session-lost') continue;
      const until = revokedAt ?? lostAt ?? diedAt.get(by) ?? Infinity;
      if (next.assignedAt < until) found.push(`partition ${partition}: ${next.by} had it ${(until - next.assignedAt).toFixed(1)} ms before ${by} (token ${token}) ended`);
    }
  }
  return found;
}
