import { Buffer } from 'node:buffer';

/** Smaller ones cost next to nothing. */
const SMALLEST = 16_384;
const LARGEST = 524_288;
const SIZES = Math.log2(LARGEST / SMALLEST) + 1;
/** Of all that lie here. */
const MOST_BYTES = 4_194_304;

/**
 * Memory for batches that is used again and again. Fresh memory of that size is mapped page by page as it is written to, and counts
 * for the collector, which therefore runs more often: together that costs more than writing the batch.
 */
export class WirePool {
  private readonly free: Buffer[][] = Array.from({ length: SIZES }, () => []);
  private bytes = 0;

  /** At least so many bytes, with whatever they hold. */
  take(bytes: number): Buffer {
    if (bytes < SMALLEST || bytes > LARGEST) return Buffer.allocUnsafe(bytes);
    const known = this.free[placeOf(bytes)]!.pop();
    if (!known) return Buffer.allocUnsafe(SMALLEST << placeOf(bytes));
    this.bytes -= known.length;
    return known;
  }

  /** Nobody reads or writes it any more. */
  give(buffer: Buffer): void {
    const { length } = buffer;
    if (length < SMALLEST || length > LARGEST || length !== SMALLEST << placeOf(length) || this.bytes + length > MOST_BYTES) return;
    this.bytes += length;
    this.free[placeOf(length)]!.push(buffer);
  }
}

/** Of the smallest size that holds so many bytes. */
function placeOf(bytes: number): number {
  return Math.max(0, 32 - Math.clz32(bytes - 1) - Math.log2(SMALLEST));
}

/** One for the process, whose batches are under way at different times. */
export const wirePool = new WirePool();
