import { compareStreamIds } from '../kernel/stream-id.js';
import type { RedisConnection } from '../redis/connection.js';
import { patiently } from '../redis/patiently.js';
import type { LetterId, Span } from './filter.js';
import { recordOf, type RawLetter } from './letter.js';

/** A reply is to be about this large at most. */
const REPLY_BYTES = 4_194_304;
const FIRST_COUNT = 20;
const MAX_COUNT = 500;

export interface ScanOptions extends Span {
  readonly newest: boolean;
  readonly after?: LetterId | undefined;
  /** Per shard, the last id that counts; undefined: that shard has none. Default: no bound. */
  readonly upTo?: ReadonlyArray<string | undefined>;
}

/**
 * The letters of all shards, merged by id and, where ids are equal, by shard: one order, so that a letter's place in it
 * is where a later call goes on, whatever was added or removed meanwhile.
 */
export async function* scan(redis: RedisConnection, keys: readonly string[], options: ScanOptions): AsyncGenerator<RawLetter> {
  const { newest } = options;
  const before = (a: RawLetter, b: RawLetter): boolean => {
    const order = compareStreamIds(a.id, b.id) || a.shard - b.shard;
    return newest ? order > 0 : order < 0;
  };
  const readers = keys.map((key, shard) => new ShardReader(redis, key, shard, options));
  await Promise.all(readers.map((reader) => reader.fill()));
  for (;;) {
    let first: ShardReader | undefined;
    for (const reader of readers) if (reader.head && (!first?.head || before(reader.head, first.head))) first = reader;
    if (!first?.head) return;
    yield first.head;
    await first.advance();
  }
}

/** One letter, or undefined. */
export async function readLetter(redis: RedisConnection, keys: readonly string[], { shard, id }: LetterId): Promise<RawLetter | undefined> {
  const rows = (await patiently(() => redis.commands.call('XRANGE', [keys[shard]!, id, id]))) as Rows;
  return rows.map(([found, flat]) => ({ shard, id: String(found), fields: recordOf(flat) }))[0];
}

/** Per shard the id of its newest letter. */
export function newestIds(redis: RedisConnection, keys: readonly string[]): Promise<Array<string | undefined>> {
  return Promise.all(keys.map(async (key) => {
    const rows = (await patiently(() => redis.commands.call('XREVRANGE', [key, '+', '-', 'COUNT', 1]))) as Rows;
    return rows[0] && String(rows[0][0]);
  }));
}

/** Bytes of a letter, about. */
export function weightOf({ fields }: RawLetter): number {
  let bytes = 64;
  for (const name in fields) bytes += name.length + fields[name]!.length;
  return bytes;
}

type Rows = Array<[string, unknown[]]>;

class ShardReader {
  private rows: RawLetter[] = [];
  private at = 0;
  private from: string;
  private readonly to: string;
  private count = FIRST_COUNT;
  private over = false;

  constructor(
    private readonly redis: RedisConnection,
    private readonly key: string,
    private readonly shard: number,
    private readonly options: ScanOptions,
  ) {
    const { newest, after, since, until, upTo } = options;
    const low = since > 0 ? String(Math.ceil(since)) : '-';
    const high = upTo ? upTo[shard] : Number.isFinite(until) ? String(Math.ceil(until)) : '+';
    // An `until` of a letter's own millisecond is left to the filter.
    this.over = high === undefined || until <= 0;
    const bounds = newest ? [high ?? '+', low] : [low, high ?? '+'];
    [this.from, this.to] = bounds as [string, string];
    // Of equal ids the shard decides which came first: see the order in `scan`.
    if (after) this.from = (newest ? shard < after.shard : shard > after.shard) ? after.id : `(${after.id}`;
  }

  get head(): RawLetter | undefined {
    return this.rows[this.at];
  }

  async advance(): Promise<void> {
    if (++this.at >= this.rows.length) await this.fill();
  }

  async fill(): Promise<void> {
    this.rows = [];
    this.at = 0;
    if (this.over) return;
    const command = this.options.newest ? 'XREVRANGE' : 'XRANGE';
    const rows = (await patiently(() => this.redis.commands.call(command, [this.key, this.from, this.to, 'COUNT', this.count]))) as Rows;
    this.rows = rows.map(([id, flat]) => ({ shard: this.shard, id: String(id), fields: recordOf(flat) }));
    const last = this.rows.at(-1);
    this.over = rows.length < this.count;
    if (!last) return;
    this.from = `(${last.id}`;
    const mean = this.rows.reduce((sum, row) => sum + weightOf(row), 0) / this.rows.length;
    this.count = Math.max(1, Math.min(MAX_COUNT, this.count * 4, Math.floor(REPLY_BYTES / mean)));
  }
}
