/**
 * How many of `held` leases to offer to peers, given this consumer's fair `share`. A surplus of one or of
 * a twentieth is left alone: moving a stream costs its owner a restart, and shares wobble as streams end.
 */
export function handOverCount(held: number, alreadyAsked: number, share: number): number {
  const surplus = held - alreadyAsked - share;
  return surplus > Math.max(0, Math.floor(share * 0.05)) ? surplus : 0;
}
