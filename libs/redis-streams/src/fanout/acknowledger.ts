import type { Reply } from '../kernel/resp-reader.js';
import type { Acknowledgement, RoomStore } from './store.js';

/** Acknowledgements in one script call. */
const MOST = 100;

interface Waiting extends Acknowledgement {
  resolve(isMember: boolean): void;
  reject(error: unknown): void;
}

export interface AcknowledgerHost {
  readonly store: RoomStore;
  session(): string | undefined;
  /** Sends a command the way the messages come. Undefined: not possible at present. */
  call(command: string): Promise<Reply> | undefined;
}

/**
 * Sends acknowledgements: all of one turn in one call, at once, however many calls are unanswered, since a room stands still
 * until it has the last one. They go over the connection on which the messages come. If that cannot be, or is not answered,
 * they go the way of all other calls: said twice, an acknowledgement changes nothing.
 */
export class Acknowledger {
  private waiting: Waiting[] = [];
  private readonly underWay = new Set<Promise<void>>();

  constructor(private readonly host: AcknowledgerHost) {}

  /** @returns false: this process is no member of the room any more */
  add(room: string, turn: number, ejected: readonly string[]): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ room, turn, ejected, resolve, reject });
      // Not now: handlers of messages that came together often end together.
      if (this.waiting.length === 1) queueMicrotask(() => this.flush());
    });
  }

  /**
   * Resolves when everything added so far is answered. To be awaited before a step out of a room: that goes another way, and
   * would turn an acknowledgement that it overtakes into none.
   */
  async settled(): Promise<void> {
    this.flush();
    await Promise.all(this.underWay);
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = [];
    for (let i = 0; i < waiting.length; i += MOST) {
      const sent = this.send(waiting.length <= MOST ? waiting : waiting.slice(i, i + MOST)).finally(() => this.underWay.delete(sent));
      this.underWay.add(sent);
    }
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    const { host } = this;
    const session = host.session();
    try {
      const answers = session === undefined ? [] : await this.ask(session, batch);
      batch.forEach(({ resolve }, i) => resolve(answers[i] !== -1));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  private async ask(session: string, batch: readonly Waiting[]): Promise<readonly unknown[]> {
    const { host } = this;
    try {
      const answers = await host.call(host.store.acknowledgement(session, batch));
      if (Array.isArray(answers)) return answers;
    } catch {
      // The connection broke, or the server does not know the script any more, or it is another server's by now.
    }
    return host.store.acknowledge(session, batch);
  }
}
