/** A turn is the server's time in microseconds. Where turns follow each other so soon, the next message answers an acknowledgement. */
const BRISK_US = 20_000;
/** For so long a process takes itself for a member of a room without the server's word. */
const TRUST_MS = 1_000;
/** So many messages at most are acknowledged in full after one that had to be. */
const MOST_IN_FULL = 32;

/**
 * How an acknowledgement is said. 'asked': for an answer; 'told': for none; 'short': for none, by a script that takes only those
 * that change nothing but which message is current, and says in the room if that was not so.
 */
export type Manner = 'asked' | 'told' | 'short';

/**
 * Decides, for one room, how an acknowledgement is said. In a brisk room the next message says as well as an answer that it
 * was heard; but not to a process that was taken out of the room and has missed being told so. So every second, and whenever an
 * acknowledgement says more than that all is well, the server is asked. Where one said the short way was not taken, what
 * made it so may be over with that (a deadline had to be noted), or the same with the next ones (nothing waits, each sender does):
 * the next is said in full, and of those behind it twice as many each time that the short way is tried in vain.
 */
export class Answering {
  private brisk = false;
  /** So many messages more are acknowledged in full; and would be if the next try were in vain. */
  private inFull = 0;
  private next = 1;
  private trustedUntil = 0;

  /** So long after the message before it a message is shown. */
  shown(afterUs: number): void {
    this.brisk = afterUs < BRISK_US;
    // The one before was acknowledged in short, and here is what follows.
    if (this.inFull === 0) this.next = 1;
    else this.inFull--;
  }

  /** One that was said the short way, by whomever, was not taken. */
  again(): void {
    // One more: it counts from when a message is shown, and that which was not taken is.
    this.inFull = this.next + 1;
    this.next = Math.min(this.next * 2, MOST_IN_FULL);
  }

  /** The process is out of the room. */
  lost(): void {
    this.trustedUntil = 0;
  }

  /** `plain`: a first try, with nobody ejected. @returns what `send` says: false, the process is no member any more */
  acknowledge(plain: boolean, send: (manner: Manner) => Promise<boolean>): Promise<boolean> {
    if (plain && this.brisk && performance.now() < this.trustedUntil) return send(this.inFull > 0 ? 'told' : 'short');
    return this.ask(send);
  }

  private async ask(send: (manner: Manner) => Promise<boolean>): Promise<boolean> {
    const isMember = await send('asked');
    if (isMember) this.trustedUntil = performance.now() + TRUST_MS;
    return isMember;
  }
}
