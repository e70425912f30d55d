import { ConnectionError } from '../errors/index.js';
import type { Reply } from '../kernel/resp-reader.js';
import { isTransient } from '../kernel/server-errors.js';
import { withDeadline } from '../redis/deadline.js';
import type { Manner } from './answering.js';
import type { Acknowledgement } from './spoken.js';
import type { RoomStore } from './store.js';

/** Acknowledgements in one script call. */
const MOST = 100;
/** For so long the room's next message is waited for as the answer. */
const PASS_MS = 50;
/**
 * For so long the connection on which messages come is waited for, before another is tried: half-open, it would not say so for
 * much longer. Where answers take long, so many times what the last one took.
 */
const PATIENCE_MS = 100;
const PATIENCE = 4;
/** Not more often than that the server is told the script of what is said in short. */
const PREPARE_MS = 1_000;

interface Waiting extends Acknowledgement {
  readonly manner: Manner;
  since: number;
  resolve(isMember: boolean): void;
  reject(error: unknown): void;
}

export interface AcknowledgerHost {
  readonly store: Pick<RoomStore, 'spoken' | 'acknowledge' | 'prepare'>;
  session(): string | undefined;
  /** Sends a command the way the messages come. Undefined: not possible at present. */
  call(command: string): Promise<Reply> | undefined;
  /** The same, not to be answered. @returns whether it was sent */
  tell(command: string): boolean;
}

/**
 * Sends acknowledgements: all of one turn at once, however many calls are unanswered, since a room stands still
 * until it has the last one. They go over the connection on which the messages come. If that cannot be, or is not answered,
 * they go the way of all other calls: said twice, an acknowledgement changes nothing.
 *
 * Where messages follow each other fast, answers wake as many processes as the messages do, and say what the next message says
 * anyway: that it was heard. There the server is asked for none. If no message follows soon, or the process is about to
 * step out, it is said again, for an answer: one that was lost, or refused, costs so long and nothing else.
 */
export class Acknowledger {
  private waiting: Waiting[] = [];
  private readonly underWay = new Set<Promise<void>>();
  /** By room: said, and not known to be heard. */
  private readonly unanswered = new Map<string, Waiting>();
  private watchdog: NodeJS.Timeout | undefined;
  private answerMs = 0;
  /** Whether the server knows the script of what is said in short, as far as is known; and when it was last told. */
  private knowsShort = false;
  private preparedAt = -Infinity;

  constructor(private readonly host: AcknowledgerHost) {}

  /** Unless it is 'asked', `passed` will say that it was heard. @returns false: this process is no member of the room any more */
  add(room: string, turn: number, ejected: readonly string[], manner: Manner): Promise<boolean> {
    return new Promise((resolve, reject) => this.enqueue({ room, turn, ejected, manner, since: 0, resolve, reject }));
  }

  /** A room shows its next message: it had the acknowledgement of the one before, or waits for this process no more and has said so. */
  passed(room: string): void {
    const known = this.unanswered.get(room);
    if (!known) return;
    this.unanswered.delete(room);
    known.resolve(true);
  }

  /** A room has not taken what was said in short: now in full. */
  again(room: string, turn: number): void {
    // That is said by the script itself: if the answer to a second try came before it, what it was taken for was wrong.
    this.knowsShort = true;
    const known = this.unanswered.get(room);
    if (known?.turn !== turn) return;
    this.unanswered.delete(room);
    this.enqueue({ ...known, manner: 'asked' });
  }

  /**
   * Resolves when everything added so far is answered. To be awaited before a step out of a room: that goes another way, and
   * would turn an acknowledgement that it overtakes into none.
   */
  async settled(): Promise<void> {
    this.flush();
    this.ask(Infinity);
    await Promise.all(this.underWay);
  }

  private enqueue(ack: Waiting): void {
    this.waiting.push(ack);
    // Not now: handlers of messages that came together often end together.
    if (this.waiting.length === 1) queueMicrotask(() => this.flush());
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = [];
    const isShort = ({ manner }: Waiting): boolean => manner === 'short';
    const first = waiting.find(isShort);
    if (!first || !this.isPrepared(first.room)) return this.say(waiting, false);
    if (waiting.every(isShort)) return this.say(waiting, true);
    this.say(waiting.filter(isShort), true);
    this.say(waiting.filter((ack) => !isShort(ack)), false);
  }

  private say(all: readonly Waiting[], inShort: boolean): void {
    for (let i = 0; i < all.length; i += MOST) {
      const batch = all.length <= MOST ? all : all.slice(i, i + MOST);
      if (!this.tell(batch, inShort)) this.call(batch);
    }
  }

  /** @returns false: one of them wants an answer, or the connection cannot do without */
  private tell(batch: readonly Waiting[], inShort: boolean): boolean {
    const { host } = this;
    const session = host.session();
    if (session === undefined || batch.some(({ manner }) => manner === 'asked')) return false;
    const { spoken } = host.store;
    if (!host.tell(inShort ? spoken.inShort(session, batch) : spoken.inFull(session, batch))) return false;
    const now = performance.now();
    for (const ack of batch) {
      ack.since = now;
      this.passed(ack.room);
      this.unanswered.set(ack.room, ack);
    }
    this.watchdog ??= this.watch();
    return true;
  }

  /** Whether the server knows the short script; where not, it is told, and all is said in full until then. */
  private isPrepared(room: string): boolean {
    if (this.knowsShort) return true;
    const now = performance.now();
    if (now - this.preparedAt >= PREPARE_MS) {
      this.preparedAt = now;
      this.host.store.prepare(room).then(() => (this.knowsShort = true), () => undefined);
    }
    return false;
  }

  /** One timer, however many rooms. */
  private watch(): NodeJS.Timeout {
    return setTimeout(() => {
      this.watchdog = undefined;
      // One turn later: when this process was stalled, the messages may wait in the socket.
      setImmediate(() => this.ask(performance.now() - PASS_MS));
    }, PASS_MS).unref();
  }

  /** Says again what was said by then, for an answer. */
  private ask(before: number): void {
    const overdue: Waiting[] = [];
    for (const [room, ack] of this.unanswered) {
      if (ack.since > before) continue;
      this.unanswered.delete(room);
      overdue.push(ack);
    }
    for (let i = 0; i < overdue.length; i += MOST) this.call(overdue.slice(i, i + MOST));
    if (this.unanswered.size > 0) this.watchdog ??= this.watch();
  }

  private call(batch: readonly Waiting[]): void {
    const sent = this.send(batch).finally(() => this.underWay.delete(sent));
    this.underWay.add(sent);
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    const { host } = this;
    const session = host.session();
    try {
      const answers = session === undefined ? [] : await this.answered(session, batch);
      batch.forEach(({ manner, resolve }, i) => {
        // Taken now, so it was not when it was said in short: perhaps the server has forgotten the script, and refused in silence.
        if (manner === 'short' && answers[i] === 1) this.knowsShort = false;
        resolve(answers[i] !== -1);
      });
    } catch (error) {
      // One room's trouble is not to be the others': each for itself.
      if (batch.length > 1 && !isTransient(error)) await Promise.all(batch.map((each) => this.send([each])));
      else for (const { reject } of batch) reject(error);
    }
  }

  private async answered(session: string, batch: readonly Waiting[]): Promise<readonly unknown[]> {
    const { host } = this;
    const since = performance.now();
    const called = host.call(host.store.spoken.inFull(session, batch));
    called?.then(() => (this.answerMs = performance.now() - since), () => undefined);
    try {
      const answers = called && (await withDeadline(called, Math.max(PATIENCE_MS, PATIENCE * this.answerMs), () => new ConnectionError('no answer to an acknowledgement')));
      if (Array.isArray(answers)) return answers;
    } catch {
      // The connection broke or says nothing, or the server does not know the script any more, or it is another server's by now.
    }
    return host.store.acknowledge(session, batch);
  }
}
