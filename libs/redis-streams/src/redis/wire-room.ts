/** To begin with, and for what a client library writes in front of few and short names. */
const HEAD = 640;
const SMALLEST = 1_024;
/** To begin with: what was large once is mostly not so again. */
const LARGEST = 262_144;

/** How much room a producer's next batch is given: a little more than its last one took, so that none is copied to more room. */
export class WireRoom {
  /** In front of the arguments. */
  head = HEAD;
  bytes = SMALLEST;

  took(head: number, bytes: number): void {
    this.head = Math.min(Math.max(HEAD, head + (head >> 3)), LARGEST);
    this.bytes = Math.min(Math.max(SMALLEST, bytes + (bytes >> 3)), LARGEST);
  }
}
