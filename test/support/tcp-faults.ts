/** A value, or [min, max] from which each connection draws its own. */
export type Range = number | readonly [number, number];

export interface Faults {
  /** Each connection lives this long, then ends. */
  lifetimeMs?: Range;
  /** At the end of its life a connection goes half-open with this probability, instead of being cut. */
  halfOpenChance?: number;
  /** Exactly this many bytes reach the server, then the connection is cut: usually within a request. */
  cutAfterUpstreamBytes?: Range;
  /** Exactly this many bytes reach the client, then the connection is cut: usually within a reply. */
  cutAfterDownstreamBytes?: Range;
  /** Per chunk sent: it reaches the server whole and is executed, its reply is dropped, the connection cut. */
  cutAfterWriteChance?: number;
  /** Both directions are passed on in pieces of this size, each in a write of its own. */
  sliceBytes?: number;
  /** Added in each direction; order is kept. */
  latencyMs?: Range;
}

export interface ProxyStats {
  connections: number;
  open: number;
  bytesUp: number;
  bytesDown: number;
  swallowedBytes: number;
  slices: number;
  delayedChunks: number;
  halfOpened: number;
  /** Cuts by cause; `afterWrite` counts requests whose reply was dropped. */
  cuts: { lifetime: number; upstream: number; downstream: number; afterWrite: number; manual: number };
}

export const newStats = (): ProxyStats => ({
  connections: 0, open: 0, bytesUp: 0, bytesDown: 0, swallowedBytes: 0, slices: 0, delayedChunks: 0, halfOpened: 0,
  cuts: { lifetime: 0, upstream: 0, downstream: 0, afterWrite: 0, manual: 0 },
});
