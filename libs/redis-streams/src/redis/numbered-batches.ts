import { BackpressureError, ConnectionError, ReplicationError } from '../errors/index.js';
import { isOutOfMemory, isTransient } from '../kernel/server-errors.js';
import type { RedisConnection } from './connection.js';
import type { Batch } from './outbox.js';
import { sleep } from './sleep.js';

/** How long the server remembers a batch's answers for a resend; made to last so long again once a minute. */
const KEEP_MS = 600_000;
const RENEW_MS = 60_000;
const GIVE_UP_MS = 15_000;
const RETRY_MS = 100;
/** So many of a producer's last batches the server can answer again. */
const REMEMBERED = 4;
/** How long a closed producer's record outlives it. */
const LATE_MS = 60_000;

/**
 * The first four arguments of the script: the batch's number; the number up to which all is settled; milliseconds to remember
 * the answers from now on, or 0: as was said last; the same for a record that is not there. See scripts/lua/include/batch.lua.
 */
export type BatchHead = readonly [sequence: number, settled: number, renewMs: number, keepMs: number];

export interface BatchScript<C, R> {
  /** In messages: `sending to "payments"`. */
  readonly what: string;
  /** The key of what the server remembers. */
  readonly record: string;
  /** Runs the script; called again with the same content when an answer was lost. */
  run(content: C, head: BatchHead): Promise<string>;
  /** `answers`: the batch's number, then whatever the script says. Settles every item. */
  settle(batch: Batch<C, R>, answers: readonly string[]): void;
  /** Whether a call of `run` was sent more than once by the client itself: the first may have been carried out, whatever is answered. */
  resent(content: C): boolean;
  /** The batch was sent once, and answered: it is not sent again. */
  release(content: C): void;
  /** A batch that could not be stored for so long since its first item was given is given up. Default 15,000. */
  readonly giveUpMs?: number;
}

interface Flight<C, R> {
  readonly sequence: number;
  readonly batch: Batch<C, R>;
  settled: Promise<void> | undefined;
}

/**
 * Batches of one producer to one shard, numbered. A batch whose answer was lost is sent again under its number, which the
 * server recognises: so nothing is stored twice, and a promise that resolved is stored.
 */
export class NumberedBatches<C, R> {
  private sequence = 0;
  /** Batches under way, oldest first. */
  private flights: Array<Flight<C, R>> = [];
  private renewedAt = -Infinity;
  /** The last batch was given up. */
  private down = false;
  private readonly ending = new AbortController();
  private readonly giveUpMs: number;

  constructor(
    private readonly redis: RedisConnection,
    private readonly script: BatchScript<C, R>,
  ) {
    this.giveUpMs = script.giveUpMs ?? GIVE_UP_MS;
  }

  /** Resolves when every item is settled. */
  send(batch: Batch<C, R>): Promise<void> {
    const flight: Flight<C, R> = { sequence: ++this.sequence, batch, settled: undefined };
    this.flights.push(flight);
    const over = (): void => void (this.flights = this.flights.filter((other) => other !== flight));
    flight.settled = this.deliver(flight).then(
      (answers) => {
        over();
        this.script.settle(batch, answers);
      },
      (error: unknown) => {
        over();
        batch.fail(error);
      },
    );
    return flight.settled;
  }

  /** Lets the record expire. */
  async close(): Promise<void> {
    // Not deleted: a copy of a batch that is still on its way must find that it has been stored.
    if (this.sequence > 0) await this.redis.commands.call('PEXPIRE', [this.script.record, LATE_MS]).catch(() => undefined);
  }

  /** Rejects what is under way; it is not sent again. @returns how many, once */
  abandon(error: Error): number {
    if (this.ending.signal.aborted) return 0;
    this.ending.abort();
    let count = 0;
    for (const { batch } of this.flights) {
      count += batch.count;
      batch.fail(error);
    }
    return count;
  }

  private async deliver({ sequence, batch }: Flight<C, R>): Promise<string[]> {
    const until = batch.since + this.giveUpMs;
    if (this.down && performance.now() > until) throw new ConnectionError(`${this.script.what} failed for ${this.giveUpMs} ms: the messages before these could not be sent, and these were not tried`);
    // Whether an earlier try may have stored it.
    let unsure = false;
    for (let tries = 0; ; ) {
      const oldest = this.flights[0]!;
      if (sequence - oldest.sequence >= REMEMBERED) {
        // Stored, this one would make the server forget what it answered to that one.
        await oldest.settled;
        continue;
      }
      const now = performance.now();
      const renew = now - this.renewedAt > RENEW_MS;
      let answer: string;
      tries++;
      try {
        answer = await this.script.run(batch.content, [sequence, this.flights[0]!.sequence - 1, renew ? KEEP_MS : 0, KEEP_MS]);
      } catch (error) {
        unsure ||= this.script.resent(batch.content);
        if (!unsure && isOutOfMemory(error)) throw new BackpressureError('Redis', (error as Error).message);
        if (!isTransient(error)) throw unsure ? this.refusedAgain(error as Error) : error;
        unsure ||= !isOutOfMemory(error);
        if (performance.now() > until || this.ending.signal.aborted) {
          this.down = true;
          throw error instanceof ReplicationError ? error : this.gaveUp(error as Error);
        }
        await sleep(RETRY_MS, this.ending.signal);
        continue;
      }
      this.down = false;
      if (answer === 'LATE') throw new ConnectionError(`${this.script.what}: the server no longer remembers what became of batch ${sequence} of this producer; whether these messages were stored is unknown`);
      if (answer !== 'GAP') {
        if (renew) this.renewedAt = now;
        if (tries === 1) this.script.release(batch.content);
        return answer.split(' ');
      }
      // Its turn comes when all before it have been stored, or given up: the nearest of them is waited for.
      await this.flights.findLast((other) => other.sequence < sequence)?.settled;
    }
  }

  private refusedAgain(cause: Error): ConnectionError {
    return new ConnectionError(`${this.script.what} was refused (${cause.message}) when an earlier try had not been answered; whether these messages were stored is unknown`, cause);
  }

  private gaveUp(cause: Error): ConnectionError {
    return new ConnectionError(`${this.script.what} failed for ${this.giveUpMs} ms (${cause.message}); whether these messages were stored is unknown`, cause);
  }
}
