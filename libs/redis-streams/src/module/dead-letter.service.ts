import type { DeadLetters } from '../dead-letters/client.js';
import type {
  DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQuery, DeadLetterSelection, DeadLetterSource, DeadLetterWork, ReplayOptions, ReplayResult,
} from '../dead-letters/types.js';

/**
 * What was given up, of every capability: looks at it, puts it back, deletes it, over one connection. Inject it by class for
 * the default connection, with `@InjectDeadLetters('name')` for another. Works in any application, also one without handlers.
 * Calls reach Redis from `onApplicationBootstrap` on, until the module's `onApplicationShutdown`.
 */
export class DeadLetterService {
  constructor(private readonly client: DeadLetters) {}

  /** A page of letters over all shards of the source, by default the 100 newest; `next` is the `after` of the page behind it. */
  list<S extends DeadLetterSource>(source: S, query?: DeadLetterQuery): Promise<DeadLetterPage<S['kind']>> {
    return this.client.list(source, query);
  }

  /** One letter, or undefined. */
  get<S extends DeadLetterSource>(source: S, entryId: string): Promise<DeadLetter<S['kind']> | undefined> {
    return this.client.get(source, entryId);
  }

  /** How many letters a source has. With a filter, or of one room or group of many, all are read. */
  count(source: DeadLetterSource, filter?: DeadLetterFilter): Promise<number> {
    return this.client.count(source, filter);
  }

  /** Puts letters back where they came from, oldest first; see {@link DeadLetters.replay}. */
  replay(source: DeadLetterSource, selection: DeadLetterSelection, options?: ReplayOptions): Promise<ReplayResult> {
    return this.client.replay(source, selection, options);
  }

  /** Deletes letters for good. @returns how many */
  purge(source: DeadLetterSource, selection: DeadLetterSelection | 'all', options?: DeadLetterWork): Promise<number> {
    return this.client.purge(source, selection, options);
  }
}
