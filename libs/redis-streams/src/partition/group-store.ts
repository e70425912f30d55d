import { ConnectionError } from '../errors/index.js';
import { groupKeys, type GroupKeys } from '../keys/partition-keys.js';
import type { RedisConnection } from '../redis/connection.js';

export interface ReleasedPartition {
  readonly partition: number;
  readonly token: number;
  /** The next grant's token must be above this one: a fence that somebody else has raised. */
  readonly above: number;
}

export type GrantSource = 'free' | 'dead' | 'regranted';

export interface SyncReply {
  readonly version: string;
  readonly due: '' | 'WAIT' | 'PLAN';
  readonly paused: 'all' | ReadonlySet<number>;
  readonly nextAwayMs: number;
  /** The version that was given is not the present one: ask again without it. */
  readonly changed: boolean;
  /** Undefined when a version was given. */
  readonly rows: ReadonlyArray<{ readonly partition: number; readonly token: number; readonly how: 'held' | 'wait' | 'gone' | GrantSource }> | undefined;
}

export interface Roster {
  readonly generation: number;
  readonly planned: number;
  /** Member -> session, or `-` while its seat is kept. */
  readonly members: ReadonlyMap<string, string>;
  readonly target: ReadonlyMap<string, readonly number[]>;
  readonly owners: ReadonlyMap<number, { readonly session: string; readonly token: number }>;
  readonly deadlines: ReadonlyMap<string, number>;
  readonly paused: 'all' | readonly number[];
}

/** Redis I/O of a consumer group's coordination. */
export class GroupStore {
  readonly keys: GroupKeys;

  constructor(
    private readonly redis: RedisConnection,
    readonly stream: string,
    readonly group: string,
    readonly partitions: number,
  ) {
    this.keys = groupKeys(stream, group);
  }

  /** @returns 'LOST': the session is dead; 'STALE': a later sync was there first, or this one before, and its answer is lost */
  async sync(
    session: string,
    member: string,
    leaving: boolean,
    known: string,
    released: readonly ReleasedPartition[],
    held: ReadonlyArray<readonly [partition: number, token: number]>,
    planMs: number,
    sequence: number,
  ): Promise<SyncReply | 'LOST' | 'STALE'> {
    const args = [session, member, this.keys.bell, known, planMs, leaving ? 1 : 0, sequence, released.length];
    for (const { partition, token, above } of released) args.push(partition, token, above);
    for (const [partition, token] of held) args.push(partition, token);
    const reply = (await this.redis.scripts.run('partition-sync', this.all(), args)) as unknown[];
    if (reply[0] === 'LOST' || reply[0] === 'STALE') return reply[0];
    if (reply[0] !== 'OK') throw new ConnectionError(`unexpected sync reply ${String(reply[0])}`);
    const [, planned, revision, due, paused, nextAway, settled, rows] = reply as [string, string, string, SyncReply['due'], string, number, number, Array<[string, string, string]>];
    const list = pausedOf(String(paused));
    return {
      version: `${planned}.${revision}`,
      due,
      paused: list === 'all' ? list : new Set(list),
      nextAwayMs: Number(nextAway),
      changed: Number(settled) === 2,
      rows: Number(settled) > 0 ? undefined : rows.map(([partition, token, how]) => ({ partition: Number(partition), token: Number(token), how: how as 'held' })),
    };
  }

  async roster(): Promise<Roster> {
    const reply = (await this.redis.scripts.run('partition-roster', this.all(), [])) as [string, string, unknown[], unknown[], unknown[], unknown[], string, string];
    const [generation, planned, members, target, owners, live, , paused] = reply;
    return {
      generation: Number(generation),
      planned: Number(planned),
      members: new Map(pairs(members)),
      target: new Map(pairs(target).map(([member, list]) => [member, numbers(list)])),
      owners: new Map(
        pairs(owners).map(([partition, owner]) => {
          const [session, token] = owner.split(' ') as [string, string];
          return [Number(partition), { session, token: Number(token) }];
        }),
      ),
      deadlines: new Map(pairs(live).map(([session, deadline]) => [session, Number(deadline)])),
      paused: pausedOf(paused),
    };
  }

  /** @returns false when the roster has changed since that generation */
  async plan(generation: number, assignment: ReadonlyMap<string, readonly number[]>): Promise<boolean> {
    const { group, target, bell } = this.keys;
    const args: Array<string | number> = [generation, bell];
    for (const [member, partitions] of assignment) args.push(member, partitions.join(','));
    return (await this.redis.scripts.run('partition-plan', [group, target], args)) === 'OK';
  }

  async leave(session: string, member: string, keepMs: number): Promise<void> {
    await this.redis.scripts.run('partition-leave', this.all(), [session, member, this.keys.bell, keepMs]);
  }

  async control(verb: 'pause' | 'resume' | 'evict', partitions: readonly number[]): Promise<'all' | number[]> {
    const { group, owners, bell } = this.keys;
    return pausedOf(String(await this.redis.scripts.run('partition-control', [group, owners], [bell, verb, ...partitions])));
  }

  private all(): string[] {
    const { sessions, members, names, roster, away, group, target, owners } = this.keys;
    return [sessions, members, names, roster, away, group, target, owners];
  }
}

function pairs(flat: readonly unknown[]): Array<[string, string]> {
  const list: Array<[string, string]> = [];
  for (let i = 0; i + 1 < flat.length; i += 2) list.push([String(flat[i]), String(flat[i + 1])]);
  return list;
}

function numbers(list: string): number[] {
  return list === '' ? [] : list.split(',').map(Number);
}

function pausedOf(text: string): 'all' | number[] {
  return text === 'all' ? 'all' : numbers(text);
}
