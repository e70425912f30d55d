import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { FanoutMetrics } from './types.js';

/**
 * From the send to the arrival, on the server's clock: the local clock's distance from it is estimated from questions with a
 * known round trip, the quickest of which is trusted most.
 */
export class RoomLatency {
  private histogram: RecordableHistogram | undefined;
  private offsetUs: number | undefined;
  private trustedTo = Infinity;

  /** An answer that carried the server's time arrived now, `roundTripMs` after its question. */
  compare(serverUs: number, roundTripMs: number): void {
    // Old trust fades, since clocks drift.
    this.trustedTo *= 1.1;
    if (roundTripMs > this.trustedTo) return;
    this.trustedTo = roundTripMs;
    this.offsetUs = serverUs + (roundTripMs * 1_000) / 2 - performance.now() * 1_000;
  }

  /** A message that was sent at this server time has arrived. */
  arrived(sentAtMs: number): void {
    if (this.offsetUs === undefined) return;
    const us = performance.now() * 1_000 + this.offsetUs - sentAtMs * 1_000;
    (this.histogram ??= createHistogram()).record(Math.max(1, Math.round(us)));
  }

  summary(): FanoutMetrics['latencyMs'] {
    const { histogram } = this;
    if (!histogram) return undefined;
    const ms = (us: number): number => Math.round(us) / 1_000;
    return { min: ms(histogram.min), mean: ms(histogram.mean), p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) };
  }
}
