import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { AckTimeoutError, ClosedError, ConnectionError, RedisStreamsError } from '../errors/index.js';
import { parseOutcome, type Outcome } from '../kernel/room-wire.js';
import { isOutOfMemory, isTransient } from '../kernel/server-errors.js';
import { Batcher } from '../redis/batcher.js';
import { sleep } from '../redis/sleep.js';
import type { OutgoingRoomMessage, RoomStore } from './store.js';
import type { AckedRoomMessage } from './types.js';

/** For so long a batch is sent again while the server is away. */
const PATIENCE_MS = 15_000;
const CHECK_MS = 1_000;
/** Outcomes asked for in one call. */
const ASKED = 1_000;
/** Outcomes that came before the answer to their send. */
const MAX_EARLY = 10_000;

export interface SenderHost {
  readonly store: RoomStore;
  /** Hears the channel on which acknowledgements are told. */
  listen(channel: string, heard: (text: string) => void): Promise<void>;
  /** Takes care that dead subscribers are ejected, also when no member of the shard is alive. */
  tend(): void;
  onError(error: Error, room: string): void;
}

interface Waiting {
  readonly room: string;
  readonly id: string;
  readonly since: number;
  /** When it was found over, and its outcome not to be asked for: the word of it may be on the way. */
  over?: number;
  resolve(outcome: AckedRoomMessage): void;
  reject(error: Error): void;
}

/** One process's sends to one shard: batched, in order, sent again after a lost answer without adding anything twice. */
export class RoomSender {
  private readonly id = randomBytes(9).toString('base64url');
  private readonly batcher: Batcher<OutgoingRoomMessage, string>;
  private sequence = 0;
  // By keyOf: an id is its room's own.
  private readonly waiting = new Map<string, Waiting>();
  private readonly early = new Map<string, AckedRoomMessage>();
  /** Not waited for any more: their outcome is only to be forgotten. */
  private readonly abandoned = new Set<string>();
  /** Rooms whose outcomes cannot be asked for, which was told. */
  private readonly unaskable = new Set<string>();
  private readonly forget = new Map<string, string[]>();
  private listening: Promise<void> | undefined;
  private check: NodeJS.Timeout | undefined;
  private asking = false;
  /** Asked for while an answer was awaited. */
  private askNext: number | undefined;
  private readonly closed = new AbortController();

  constructor(private readonly host: SenderHost) {
    this.batcher = new Batcher({
      what: 'the room sender',
      send: (items) => this.sendBatch(items),
      sizeOf: ({ payload }) => Buffer.byteLength(payload),
      maxItems: 200,
      maxBytes: 1_048_576,
      maxPendingItems: 50_000,
      maxPendingBytes: 67_108_864,
    });
  }

  /** @returns the message's id when Redis has it */
  send(message: OutgoingRoomMessage): Promise<string> {
    return this.batcher.add(message);
  }

  /** Resolves when all have acknowledged, or were ejected. @throws AckTimeoutError | ClosedError */
  async sendAwaited(message: OutgoingRoomMessage, timeoutMs: number | undefined): Promise<AckedRoomMessage> {
    // Not waited for: what is sent after this stands behind it. An outcome told too early is asked for.
    this.listen();
    const id = await this.batcher.add(message);
    const { room } = message;
    const key = keyOf(room, id);
    const early = this.early.get(key);
    if (early) {
      this.early.delete(key);
      this.done(room, id);
      return early;
    }
    if (this.closed.signal.aborted) throw new ClosedError('the room sender');
    return new Promise<AckedRoomMessage>((resolve, reject) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => (this.abandon(key), reject(new AckTimeoutError(room, id, timeoutMs))), timeoutMs);
      const end = <T>(settle: (value: T) => void) => (value: T): void => (clearTimeout(timer), settle(value));
      this.waiting.set(key, { room, id, since: performance.now(), resolve: end(resolve), reject: end(reject) });
    });
  }

  /** What was told may have been missed: asks. */
  restored(): void {
    void this.ask(0);
  }

  /** Sends what was added, then gives up waiting for acknowledgements. */
  async close(): Promise<void> {
    await this.batcher.close();
    this.closed.abort();
    clearInterval(this.check);
    for (const { reject } of this.waiting.values()) reject(new ClosedError('the room sender'));
    this.waiting.clear();
    await this.tidy().catch(() => undefined);
    if (this.sequence > 0) await this.host.store.retire(this.id).catch(() => undefined);
  }

  private abandon(key: string): void {
    this.waiting.delete(key);
    this.abandoned.add(key);
    if (this.abandoned.size > MAX_EARLY) this.abandoned.delete(this.abandoned.keys().next().value!);
  }

  private listen(): void {
    this.check ??= setInterval(() => void this.ask(CHECK_MS), CHECK_MS).unref();
    this.listening ??= this.host.listen(this.host.store.keys.senders + this.id, (text) => this.told(text)).then(
      () => this.restored(),
      // The connection is closed, or this user may not listen: asked for outcomes are known too, and the right to it may come.
      () => void setTimeout(() => (this.listening = undefined), CHECK_MS).unref(),
    );
  }

  private told(text: string): void {
    const outcome = parseOutcome(text);
    if (outcome) this.settle(outcome);
  }

  private settle(outcome: Outcome): void {
    const { room, id, acknowledged, ejected } = outcome;
    const key = keyOf(room, id);
    if (this.abandoned.delete(key)) return this.done(room, id);
    const waiting = this.waiting.get(key);
    if (!waiting) {
      // Its send is not answered yet.
      this.early.set(key, { room, id, acknowledged, ejected });
      if (this.early.size > MAX_EARLY) this.early.delete(this.early.keys().next().value!);
      return;
    }
    this.waiting.delete(key);
    this.done(room, id);
    waiting.resolve({ room, id, acknowledged, ejected });
  }

  private done(room: string, id: string): void {
    const ids = this.forget.get(room) ?? [];
    ids.push(id);
    this.forget.set(room, ids);
  }

  /** A lost word costs time, never the answer: outcomes are kept for a while. */
  private async ask(olderThanMs: number): Promise<void> {
    if (this.asking) return void (this.askNext = Math.min(olderThanMs, this.askNext ?? Infinity));
    this.asking = true;
    try {
      for (let next: number | undefined = olderThanMs; next !== undefined && !this.closed.signal.aborted; ) {
        this.askNext = undefined;
        await this.askOnce(next);
        next = this.askNext;
      }
    } catch {
      // The server is away; the next check asks again.
    } finally {
      this.asking = false;
    }
  }

  private async askOnce(olderThanMs: number): Promise<void> {
    const now = performance.now();
    const old = new Map<string, string[]>();
    for (const { room, id, since } of this.waiting.values()) {
      if (now - since < olderThanMs) continue;
      const ids = old.get(room);
      if (ids) ids.push(id);
      else old.set(room, [id]);
    }
    if (old.size > 0) this.host.tend();
    if (this.waiting.size === 0) this.unaskable.clear();
    for (const [room, ids] of old) {
      for (let i = 0; i < ids.length; i += ASKED) {
        const outcomes = await this.host.store.outcomes(room, ids.slice(i, i + ASKED));
        if (outcomes instanceof Error) {
          await this.giveUp(room, ids, outcomes);
          break;
        }
        this.unaskable.delete(room);
        for (const outcome of outcomes) this.settle(outcome);
      }
    }
    await this.tidy();
  }

  /** A word that was missed does not come again: what is over, and stays untold, is waited for in vain. */
  private async giveUp(room: string, ids: readonly string[], error: Error): Promise<void> {
    if (!this.unaskable.has(room)) {
      this.unaskable.add(room);
      this.host.onError(error, room);
    }
    // Nor can be seen where the rest of the room is something else too; whoever looks after it tells of that.
    const state = await this.host.store.state(room).catch(() => undefined);
    // Which of them wait, the server does not say by id.
    if (!state || state.waiting > 0) return;
    for (const id of ids) {
      const key = keyOf(room, id);
      const waits = this.waiting.get(key);
      if (!waits || state.current?.message.id === id) continue;
      waits.over ??= performance.now();
      if (performance.now() - waits.over < CHECK_MS / 2) continue;
      this.abandon(key);
      waits.reject(error);
    }
  }

  private async tidy(): Promise<void> {
    for (const [room, ids] of [...this.forget]) {
      this.forget.delete(room);
      await this.host.store.forgetOutcomes(room, ids);
    }
  }

  private async sendBatch(items: readonly OutgoingRoomMessage[]): Promise<ReadonlyArray<string | Error>> {
    const sequence = ++this.sequence;
    const until = performance.now() + PATIENCE_MS;
    // Whether an earlier try may have stored them.
    let unsure = false;
    for (let failures = 0; ; failures++) {
      try {
        const answers = await this.host.store.send(this.id, sequence, items);
        if (answers !== 'LATE') return answers;
        return items.map(() => new ConnectionError('the answer to this send is not remembered any more: it may or may not have been taken'));
      } catch (error) {
        const isFull = isOutOfMemory(error);
        if (!isTransient(error) || isFull || this.closed.signal.aborted || performance.now() > until) throw this.gaveUp(error as Error, unsure || (isTransient(error) && !isFull));
        unsure = true;
        await sleep(Math.min(2_000, 50 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2), this.closed.signal);
      }
    }
  }

  private gaveUp(error: Error, unsure: boolean): Error {
    if (unsure) return new ConnectionError(`sending to rooms failed (${error.message}); whether these messages were taken is unknown`, error);
    return error instanceof RedisStreamsError || isOutOfMemory(error) ? error : new ConnectionError(`sending to rooms failed: ${error.message}`, error);
  }
}

function keyOf(room: string, id: string): string {
  return `${id} ${room}`;
}
