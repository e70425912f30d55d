import { randomBytes } from 'node:crypto';
import { BackpressureError, ClosedError } from '../errors/index.js';
import { isOutOfMemory } from '../kernel/server-errors.js';
import { deadLetterWorkKey } from '../keys/dead-letter-keys.js';
import { patiently } from '../redis/patiently.js';
import { sleep } from '../redis/sleep.js';
import type { RedisConnection } from '../redis/connection.js';
import { textOf } from './filter.js';
import type { RawLetter } from './letter.js';
import type { Place } from './places.js';
import { weightOf } from './scan.js';
import type { ReplayResult, ReplaySkipReason } from './types.js';

/** Letters, and about how many bytes of them, that one script call moves: the server does nothing else meanwhile. */
const BATCH = 100;
const BATCH_BYTES = 4_194_304;
const PURGED_AT_ONCE = 200;
/** Longer than any resend of a batch is under way. */
const KEEP_MS = 600_000;

/**
 * One replay or purge: letters go out in numbered batches per slot, one at a time. A batch whose answer is lost is sent again
 * under its number and is answered what it was answered then.
 */
export class Work {
  private readonly id = randomBytes(9).toString('base64url');
  private batches = 0;

  constructor(
    private readonly redis: RedisConnection,
    private readonly place: Place,
    private readonly ending: AbortSignal,
  ) {}

  /** Tells of each batch as soon as it is done: what fails later has not undone it. */
  async replay(letters: AsyncIterable<RawLetter>, perSecond: number, done: (result: ReplayResult) => void): Promise<void> {
    for await (const batch of batchesOf(letters, Math.min(BATCH, Math.max(1, Math.floor(perSecond))))) {
      const { shard } = batch[0]!;
      const number = ++this.batches;
      const answers = await this.call(() => this.place.replay({ shard, work: this.keyOf(shard), batch: number, keepMs: KEEP_MS, letters: batch }));
      const skipped = batch.flatMap((letter, i) => (answers[i] === 'OK' ? [] : [{ entryId: textOf(letter), reason: (answers[i] ?? 'gone') as ReplaySkipReason }]));
      done({ replayed: batch.length - skipped.length, skipped });
      if (Number.isFinite(perSecond)) await sleep((batch.length * 1_000) / perSecond, this.ending);
    }
  }

  async purge(letters: AsyncIterable<RawLetter>, done: (purged: number) => void): Promise<void> {
    for await (const batch of batchesOf(letters, PURGED_AT_ONCE)) done(await this.delete(batch[0]!.shard, '', batch.map(({ id }) => id)));
  }

  /** Everything of these shards up to these ids. */
  async purgeAll(upTo: ReadonlyArray<string | undefined>, done: (purged: number) => void): Promise<void> {
    for (const [shard, id] of upTo.entries()) {
      if (id === undefined) continue;
      for (let purged = PURGED_AT_ONCE; purged === PURGED_AT_ONCE; done(purged)) purged = await this.delete(shard, id, []);
    }
  }

  private async delete(shard: number, upTo: string, ids: readonly string[]): Promise<number> {
    const number = ++this.batches;
    const [purged] = (await this.call(() => this.redis.scripts.run('dead-letters-purge', [this.place.dead[shard]!, this.keyOf(shard)], [number, KEEP_MS, upTo, PURGED_AT_ONCE, ...ids]))) as [string];
    return Number(purged);
  }

  private call<T>(send: () => Promise<T>): Promise<T> {
    if (this.ending.aborted) throw new ClosedError('the dead-letter client');
    return patiently(send, this.ending).catch((error: unknown) => {
      throw isOutOfMemory(error) ? new BackpressureError('Redis', (error as Error).message) : error;
    });
  }

  private keyOf(shard: number): string {
    return deadLetterWorkKey(this.place.dead[shard]!, this.id);
  }
}

/** Letters of one shard each, in the order they come. */
async function* batchesOf(letters: AsyncIterable<RawLetter>, most: number): AsyncGenerator<RawLetter[]> {
  const open = new Map<number, { letters: RawLetter[]; bytes: number }>();
  for await (const letter of letters) {
    const batch = open.get(letter.shard) ?? { letters: [], bytes: 0 };
    open.set(letter.shard, batch);
    batch.letters.push(letter);
    batch.bytes += weightOf(letter);
    if (batch.letters.length < most && batch.bytes < BATCH_BYTES) continue;
    open.delete(letter.shard);
    yield batch.letters;
  }
  for (const batch of open.values()) yield batch.letters;
}
