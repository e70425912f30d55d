import { ClosedError } from '../errors/index.js';
import { compareStreamIds } from '../kernel/stream-id.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import { patiently } from '../redis/patiently.js';
import { checkReplayOptions, letterIdOf, resolveFilter, resolveQuery, resolveSelection, textOf, type Selection } from './filter.js';
import { letterOf, type RawLetter } from './letter.js';
import { placeOf, type Capabilities, type Place } from './places.js';
import { newestIds, readLetter, scan } from './scan.js';
import type {
  DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQuery, DeadLetterSelection, DeadLetterSource, DeadLetterWork, ReplayOptions, ReplayResult,
} from './types.js';
import { Work } from './work.js';

export interface DeadLettersContext extends Capabilities {
  readonly events: RedisStreamsEvents;
  /** This process, as events name it. */
  readonly by: string;
}

/** Ids that are looked up side by side. */
const LOOK_UPS = 50;

/** Dead letters of every capability, over one connection. Works in processes that consume nothing. */
export class DeadLetters {
  private readonly ending = new AbortController();

  /** @internal */
  constructor(private readonly context: DeadLettersContext) {}

  /**
   * A page of letters, newest first unless asked otherwise, over all shards of the source.
   * @throws InvalidOptionsError | StreamNotRegisteredError | QueueNotRegisteredError | FanoutMismatchError
   */
  async list<S extends DeadLetterSource>(source: S, query: DeadLetterQuery = {}): Promise<DeadLetterPage<S['kind']>> {
    const place = await this.place(source);
    const { newest, after, limit, filter } = resolveQuery(query, place.dead.length);
    const letters: Array<DeadLetter<S['kind']>> = [];
    for await (const raw of scan(this.context.redis, place.dead, { newest, after, since: filter.since, until: filter.until })) {
      if (place.owns?.(raw) === false) continue;
      const letter = letterOf<S['kind']>(place.kind, raw);
      if (!filter.matches(letter)) continue;
      letters.push(letter);
      if (letters.length === limit) return { letters, next: letter.entryId };
    }
    return { letters, next: undefined };
  }

  /** One letter, or undefined when there is none of that id in the source. @throws InvalidOptionsError as {@link list} */
  async get<S extends DeadLetterSource>(source: S, entryId: string): Promise<DeadLetter<S['kind']> | undefined> {
    const place = await this.place(source);
    const raw = await readLetter(this.context.redis, place.dead, letterIdOf(entryId, place.dead.length, 'entryId'));
    return raw && place.owns?.(raw) !== false ? letterOf<S['kind']>(place.kind, raw) : undefined;
  }

  /** How many letters a source has. With a filter, or of one room or group of many, all are read. @throws as {@link list} */
  async count(source: DeadLetterSource, filter?: DeadLetterFilter): Promise<number> {
    const place = await this.place(source);
    const { redis } = this.context;
    if (!place.owns && filter === undefined) {
      const lengths = await Promise.all(place.dead.map((key) => patiently(() => redis.commands.call('XLEN', [key]))));
      return lengths.reduce<number>((sum, length) => sum + Number(length), 0);
    }
    let count = 0;
    for await (const _ of this.chosen(place, { filter: resolveFilter(filter), limit: Infinity })) count++;
    return count;
  }

  /**
   * Puts letters back where they came from, oldest first: each is added there and removed here in one step, so that neither
   * a crash nor a resend loses or doubles it. Those that cannot go back now stay, and the answer says why.
   * @throws InvalidOptionsError as {@link list} | ConnectionError when Redis is away for longer than 15 s, BackpressureError when it is out of
   * memory for so long: what went back is in the event
   */
  async replay(source: DeadLetterSource, selection: DeadLetterSelection, options: ReplayOptions = {}): Promise<ReplayResult> {
    checkReplayOptions(options, ['by', 'perSecond']);
    const place = await this.place(source);
    const chosen = resolveSelection(selection, place.dead.length);
    const skipped: Array<ReplayResult['skipped'][number]> = [];
    let replayed = 0;
    const gone = (entryId: string): void => void skipped.push({ entryId, reason: 'gone' });
    const tell = (error?: Error): void => this.context.events.emit('deadLetters.replayed', { ...this.about(place, options), replayed, skipped: skipped.length, ...(error && { error }) });
    try {
      await this.work(place).replay(this.chosen(place, chosen, gone), options.perSecond ?? Infinity, (result) => {
        replayed += result.replayed;
        skipped.push(...result.skipped);
      });
    } catch (error) {
      tell(error as Error);
      throw error;
    }
    tell();
    return { replayed, skipped };
  }

  /** Deletes letters for good. @returns how many @throws as {@link replay} */
  async purge(source: DeadLetterSource, selection: DeadLetterSelection | 'all', options: DeadLetterWork = {}): Promise<number> {
    checkReplayOptions(options, ['by']);
    const place = await this.place(source);
    const chosen = selection === 'all' ? { filter: resolveFilter(), limit: Infinity } : resolveSelection(selection, place.dead.length);
    let purged = 0;
    const done = (count: number): void => void (purged += count);
    const tell = (error?: Error): void => this.context.events.emit('deadLetters.purged', { ...this.about(place, options), purged, ...(error && { error }) });
    try {
      if (selection === 'all' && !place.owns) await this.work(place).purgeAll(await newestIds(this.context.redis, place.dead), done);
      else await this.work(place).purge(this.chosen(place, chosen), done);
    } catch (error) {
      tell(error as Error);
      throw error;
    }
    tell();
    return purged;
  }

  /** @internal What is under way ends with the batch that is. */
  close(): void {
    this.ending.abort();
  }

  private place(source: DeadLetterSource): Promise<Place> {
    if (this.ending.signal.aborted) throw new ClosedError('the dead-letter client');
    return placeOf(source, this.context);
  }

  private work(place: Place): Work {
    return new Work(this.context.redis, place, this.ending.signal);
  }

  private about({ kind, name }: Place, { by = this.context.by }: DeadLetterWork): { kind: Place['kind']; source: string; by: string } {
    return { kind, source: name, by };
  }

  /** A filter chooses among the letters of this moment: one that comes back while others are replayed is not replayed again. */
  private async *chosen(place: Place, selection: Selection, gone: (entryId: string) => void = () => undefined): AsyncGenerator<RawLetter> {
    const { redis } = this.context;
    if ('ids' in selection) {
      const ids = [...selection.ids].sort((a, b) => compareStreamIds(a.id, b.id));
      for (let i = 0; i < ids.length; i += LOOK_UPS) {
        const some = ids.slice(i, i + LOOK_UPS);
        for (const [n, raw] of (await Promise.all(some.map((id) => readLetter(redis, place.dead, id)))).entries()) {
          if (raw && place.owns?.(raw) !== false) yield raw;
          else gone(textOf(some[n]!));
        }
      }
      return;
    }
    let left = selection.limit;
    const { filter } = selection;
    for await (const raw of scan(redis, place.dead, { newest: false, since: filter.since, until: filter.until, upTo: await newestIds(redis, place.dead) })) {
      if (place.owns?.(raw) === false || !filter.matches(letterOf(place.kind, raw))) continue;
      yield raw;
      if (--left === 0) return;
    }
  }
}
