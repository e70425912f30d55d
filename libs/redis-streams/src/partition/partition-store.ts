import { shardKeys, shardOf } from '../keys/partition-keys.js';
import type { Failing, Progress } from '../kernel/partition-window.js';
import type { RedisConnection } from '../redis/connection.js';
import { withCount, type Counted as Counts } from './count.js';
import type { KnownStream } from './registration.js';

/** What a new owner is told. */
export interface OpenedPartition {
  readonly watermark: string;
  /** Entries up to the watermark since the stream began; -1: unknown. */
  readonly entriesRead: number;
  readonly done: readonly string[];
  readonly failures: readonly Failing[];
  /** Owners in a row that died here without progress. */
  readonly losses: number;
  /** Message that ran alone when the last of them died. */
  readonly mark: string | undefined;
  readonly markCrashes: number;
  readonly dropped: string;
  readonly lag: number;
  /** Last id of the stream at that moment. */
  readonly end: string;
}

const GROUPS_AT_ONCE = 128;
const NOT_COUNTED: Counts = { count: -1, first: '' };

export interface Parked {
  readonly id: string;
  /** Field, value, field, value. */
  readonly fields: readonly string[];
}

/** One partition's part of a commit. */
export interface CommitItem {
  readonly partition: number;
  readonly token: number;
  readonly sequence: number;
  readonly progress: Progress;
  readonly entriesRead: number;
  readonly dropped: string;
  readonly mark: { readonly id: string; readonly crashes: number } | undefined;
  readonly trim: boolean;
  readonly wantLag: boolean;
  readonly parked: readonly Parked[];
}

/** What the server counted, when it was asked or knew better; -1: unknown. */
export interface Counted {
  readonly lag: number;
  readonly entriesRead: number;
  readonly dropped: string;
}

export type CommitAnswer = 'OK' | 'FENCED' | Counted;

/** Redis I/O of one group's partitions. */
export class PartitionStore {
  constructor(
    private readonly redis: RedisConnection,
    readonly stream: KnownStream,
    readonly group: string,
  ) {}

  shardOf(partition: number): number {
    return shardOf(partition, this.stream.shards);
  }

  keyOf(partition: number): string {
    return shardKeys(this.stream.stream, this.shardOf(partition)).partition(partition);
  }

  /** Makes the group on every partition that lacks it: from then on nothing is trimmed that it has not committed. */
  async createGroups(startFrom: string): Promise<void> {
    for (let shard = 0; shard < this.stream.shards; shard++) {
      const keys = Array.from({ length: this.stream.partitions }, (_, partition) => partition).filter((partition) => this.shardOf(partition) === shard).map((partition) => this.keyOf(partition));
      for (let i = 0; i < keys.length; i += GROUPS_AT_ONCE) await this.createGroup(keys.slice(i, i + GROUPS_AT_ONCE), startFrom);
    }
  }

  private async createGroup(keys: readonly string[], startFrom: string): Promise<void> {
    const made = await this.createSome(keys, startFrom, NOT_COUNTED);
    if (made === undefined) await withCount(this.redis, keys[0]!, startFrom, (counted) => this.createSome(keys, startFrom, counted));
  }

  private async createSome(keys: readonly string[], startFrom: string, { count, first }: Counts): Promise<boolean | undefined> {
    const reply = (await this.redis.scripts.run('partition-groups', keys, [this.group, startFrom, count, first])) as unknown[];
    const uncounted = keys.filter((_, i) => String(reply[i]) === 'COUNT');
    if (keys.length === 1) return uncounted.length === 0 ? true : undefined;
    for (const key of uncounted) await withCount(this.redis, key, startFrom, (counted) => this.createSome([key], startFrom, counted));
    return true;
  }

  /** @returns the higher epoch when this one is stale */
  async open(partition: number, token: number, ownerDied: boolean, startFrom: string): Promise<OpenedPartition | { readonly fencedBy: number }> {
    const keys = shardKeys(this.stream.stream, this.shardOf(partition));
    const key = keys.partition(partition);
    const ask = async ({ count, first }: Counts): Promise<unknown[] | undefined> => {
      const args = [this.group, partition, token, ownerDied ? 1 : 0, startFrom, count, first];
      const answer = (await this.redis.scripts.run('partition-open', [key, keys.positions(this.group), keys.dropped], args)) as unknown[];
      return answer[0] === 'COUNT' ? undefined : answer;
    };
    const reply = ((await ask(NOT_COUNTED)) ?? (await withCount(this.redis, key, startFrom, ask)))!;
    if (reply[0] === 'FENCED') return { fencedBy: Number(reply[1]) };
    const [, watermark, read, done, failures, losses, mark, crashes, dropped, lag, end] = reply.map(String) as string[];
    return {
      watermark: watermark!,
      entriesRead: Number(read),
      done: words(done!),
      failures: words(failures!).map(failingOf),
      losses: Number(losses),
      mark: mark === '-' ? undefined : mark,
      markCrashes: Number(crashes),
      dropped: dropped!,
      lag: Number(lag),
      end: end!,
    };
  }

  /** All items must be of one shard. */
  async commit(shard: number, items: readonly CommitItem[]): Promise<CommitAnswer[]> {
    const keys = shardKeys(this.stream.stream, shard);
    const args: Array<string | number> = [this.group, this.stream.keepMs];
    for (const item of items) {
      args.push(
        item.partition, item.token, item.sequence, item.progress.watermark, item.entriesRead,
        this.stream.whenFull === 'drop-oldest' ? item.dropped : '-',
        item.progress.done.length === 0 ? '' : item.progress.done.join(' '),
        item.progress.failures.length === 0 ? '' : item.progress.failures.map(wordOf).join(' '),
        item.mark?.id ?? '-', item.mark?.crashes ?? 0, `${item.trim ? 't' : ''}${item.wantLag ? 'l' : ''}`, item.parked.length,
      );
      for (const { id, fields } of item.parked) args.push(id, fields.length, ...fields);
    }
    const reply = (await this.redis.scripts.run(
      'partition-commit',
      [keys.positions(this.group), keys.dead(this.group), keys.dropped, ...items.map(({ partition }) => keys.partition(partition))],
      args,
    )) as unknown[];
    return reply.map((answer) => {
      if (!Array.isArray(answer)) return String(answer) === 'FENCED' ? 'FENCED' : 'OK';
      const [lag, entriesRead, dropped] = answer as [unknown, unknown, unknown];
      return { lag: Number(lag), entriesRead: Number(entriesRead), dropped: String(dropped) };
    });
  }
}

/** "id=failures", or "id=failures=ms" with what is left of its delay: two clocks, so what travels is a duration. */
function wordOf([id, failures, until = 0]: Failing): string {
  const left = Math.ceil(until - performance.now());
  return left > 0 ? `${id}=${failures}=${left}` : `${id}=${failures}`;
}

function failingOf(word: string): Failing {
  const [id, failures, left] = word.split('=') as [string, string, string | undefined];
  return left === undefined ? [id, Number(failures)] : [id, Number(failures), performance.now() + Number(left)];
}

function words(text: string): string[] {
  return text === '' ? [] : text.split(' ');
}
