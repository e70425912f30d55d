import calculateSlot from 'cluster-key-slot';

/** The hash slot of a key (CRC16 of its hash tag, or of all of it, mod 16,384), as Redis Cluster computes it. */
export function slotOf(key: string): number {
  return calculateSlot(key);
}
