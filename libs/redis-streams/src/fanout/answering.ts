/** A turn is the server's time in microseconds. Where turns follow each other so soon, the next message answers an acknowledgement. */
const BRISK_US = 20_000;
/** For so long a process takes itself for a member of a room without the server's word. */
const TRUST_MS = 1_000;

/**
 * Decides, for one room, whether the server is to answer an acknowledgement. In a brisk room the next message says as well
 * that it was heard; but not to a process that was taken out of the room and has missed being told so. So every
 * second, and whenever an acknowledgement says more than that all is well, the server is asked.
 */
export class Answering {
  private brisk = false;
  private trustedUntil = 0;

  /** So long after the message before it a message is shown. */
  shown(afterUs: number): void {
    this.brisk = afterUs < BRISK_US;
  }

  /** The process is out of the room. */
  lost(): void {
    this.trustedUntil = 0;
  }

  /** `plain`: a first try, with nobody ejected. @returns what `send` says: false, the process is no member any more */
  async acknowledge(plain: boolean, send: (unanswered: boolean) => Promise<boolean>): Promise<boolean> {
    if (plain && this.brisk && performance.now() < this.trustedUntil) return send(true);
    const isMember = await send(false);
    if (isMember) this.trustedUntil = performance.now() + TRUST_MS;
    return isMember;
  }
}
