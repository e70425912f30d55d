/** Member -> its partitions, ascending. Every member has an entry, every partition one member. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

/**
 * Sticky, balanced assignment: every member gets floor or ceil of partitions / members, and no other assignment with
 * that property moves fewer partitions away from where `previous` has them. Does not depend on the order of anything
 * given, so two processes that compute it from the same facts agree.
 *
 * Why it is minimal: a partition stays exactly if its member keeps it, and a member can keep at most its quota. The
 * members that hold most get the larger quotas, so the sum of min(held, quota) is as large as it can be.
 */
export function assign(partitions: number, members: readonly string[], previous: Assignment = new Map()): Map<string, number[]> {
  const names = [...new Set(members)].sort(byName);
  const result = new Map<string, number[]>(names.map((name) => [name, []]));
  if (names.length === 0) return result;
  const held = heldBy(partitions, names, previous);
  const floor = Math.floor(partitions / names.length);
  let larger = partitions % names.length;
  // Array.sort is stable and `names` is sorted, so equals stay in the order of their names.
  const byHeld = [...names].sort((a, b) => held.get(b)!.length - held.get(a)!.length);
  const quotas = new Map(byHeld.map((name) => [name, floor + (larger-- > 0 ? 1 : 0)]));
  const owned = new Uint8Array(partitions);
  for (const name of names) {
    for (const partition of held.get(name)!.slice(0, quotas.get(name))) {
      result.get(name)!.push(partition);
      owned[partition] = 1;
    }
  }
  let next = 0;
  for (const name of names) {
    const own = result.get(name)!;
    for (let room = quotas.get(name)! - own.length; room > 0; room--) {
      while (owned[next] === 1) next++;
      own.push(next++);
    }
    own.sort((a, b) => a - b);
  }
  return result;
}

/** What members of the group hold, each partition counted once and for the first by name, should two claim it. */
function heldBy(partitions: number, names: readonly string[], previous: Assignment): Map<string, number[]> {
  const claimed = new Uint8Array(partitions);
  return new Map(
    names.map((name) => {
      const valid = (previous.get(name) ?? []).filter((p) => Number.isInteger(p) && p >= 0 && p < partitions).sort((a, b) => a - b);
      return [name, valid.filter((p) => claimed[p] === 0 && (claimed[p] = 1))];
    }),
  );
}

/** By code unit, not by locale: every process must sort alike. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Partitions whose member differs. A partition that had none does not count as moved. */
export function moved(before: Assignment, after: Assignment): number[] {
  const owner = new Map([...before].flatMap(([member, list]) => list.map((p) => [p, member] as const)));
  return [...after].flatMap(([member, list]) => list.filter((p) => owner.has(p) && owner.get(p) !== member)).sort((a, b) => a - b);
}
