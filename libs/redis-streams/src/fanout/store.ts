import { BackpressureError, FanoutMismatchError, type ConnectionError } from '../errors/index.js';
import { parseNotice, parseOutcome, type Outcome, type WireMessage } from '../kernel/room-wire.js';
import { fanoutKey, fanoutShardKeys, roomKeys, type FanoutShardKeys } from '../keys/fanout-keys.js';
import type { Argument } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ScriptName } from '../redis/script-runner.js';
import type { ResolvedFanout } from './options.js';
import { refusalOf, unaskable } from './refusals.js';
import { Spoken, turnsOf, type Acknowledgement } from './spoken.js';
import type { Admission } from './standing.js';

/** The server's own deadline of an acknowledgement lies so far behind that of the subscribers, which then eject but one. */
export const GRACE_MS = 500;
export const OUTCOME_MS = 600_000;
const KEYS_KEPT = 1_000;

export interface OutgoingRoomMessage {
  readonly room: string;
  readonly priority: number;
  readonly payload: string;
  /** Its sender waits for all acknowledgements. */
  readonly awaited: boolean;
}

export interface Attention {
  readonly serverUs: number;
  readonly dead: readonly string[];
  readonly overdue: readonly string[];
  readonly old: readonly string[];
  readonly nextDeadlineMs: number;
  readonly nextSessionMs: number;
  readonly born: ReadonlyArray<readonly [room: string, number: number]>;
}

/** A session leaves a room. */
export interface Departure {
  readonly room: string;
  /** It stays a member: only with the message of this turn it is not waited for any more. */
  readonly forgone?: number;
}

export interface Ejected {
  readonly late: readonly string[];
  readonly redelivered: string | undefined;
  readonly buried: string | undefined;
  /** Nothing was done: a key of the room is something else. */
  readonly refusal: ConnectionError | undefined;
  /** It was to stay a member, and was none. */
  readonly isOut: boolean;
}

export interface RawState {
  readonly number: string;
  readonly serverMs: number;
  readonly current: { readonly message: WireMessage; readonly deadline: number } | undefined;
  readonly waiting: number;
  readonly members: ReadonlyArray<{ readonly session: string; readonly sync: boolean; readonly deadline: number | undefined; readonly ttlMs: number; readonly owes: boolean }>;
}

/** Redis I/O of one shard of rooms. */
export class RoomStore {
  readonly keys: FanoutShardKeys;
  /** What `acknowledge` calls, and the same in short, as it stands on the wire. */
  readonly spoken: Spoken;
  /** What becomes of messages, as the scripts read it. */
  private readonly rules: string;
  /** Of busy rooms: put together anew they would cost more than the rest of a call. */
  private readonly keysOf = new Map<string, readonly string[]>();

  constructor(
    private readonly redis: RedisConnection,
    private readonly options: ResolvedFanout,
    private readonly shard: number,
  ) {
    this.keys = fanoutShardKeys(options.namespace, shard);
    this.rules = `${options.whenEmpty} ${options.ackTimeoutMs + GRACE_MS} ${options.maxRedeliveries} ${OUTCOME_MS}`;
    this.spoken = new Spoken(redis.scripts, this.keys, (room) => this.roomKeys(room), this.rules);
  }

  /** The room's pub/sub channel. */
  channel(room: string): string {
    return roomKeys(this.options.namespace, this.shard, room).state;
  }

  /** @returns per message its id, or an error; 'LATE' when an answer this old is not remembered any more */
  async send(sender: string, sequence: number, messages: readonly OutgoingRoomMessage[]): Promise<ReadonlyArray<string | Error> | 'LATE'> {
    const rooms = [...new Set(messages.map(({ room }) => room))];
    const index = new Map(rooms.map((room, i) => [room, i + 1]));
    const args: Argument[] = [sequence, this.options.maxBacklog];
    for (const { room, priority, payload, awaited } of messages) args.push(index.get(room)!, priority, awaited ? sender : '-', payload);
    const [status, answers] = (await this.run('fanout-send', [this.keys.sender(sender)], rooms, args)) as [string, string];
    if (status === 'LATE') return 'LATE';
    return answers.split(' ').map((id, i) => {
      const { room } = messages[i]!;
      if (id === 'FULL') return new BackpressureError(`the backlog of the room "${room}"`, `fanout.maxBacklog: ${this.options.maxBacklog} messages`);
      return refusalOf(id, this.channel(room)) ?? id;
    });
  }

  /** Nothing of it is under way any more: what is remembered is soon forgotten. */
  async retire(sender: string): Promise<void> {
    await this.redis.commands.call('PEXPIRE', [this.keys.sender(sender), 60_000]);
  }

  /** @returns per acknowledgement 1: taken; 0: not owed; -1: no member any more */
  async acknowledge(session: string, acks: readonly Acknowledgement[]): Promise<readonly number[]> {
    const { current, backlogs, dead } = this.keys;
    const keys = [current, backlogs, dead];
    for (const { room } of acks) keys.push(...this.roomKeys(room));
    return (await this.redis.scripts.run('fanout-ack', keys, [this.rules, session, ...turnsOf(acks)])) as number[];
  }

  /** Has the server know the script of what `spoken` says in short: by a call without acknowledgements. */
  async prepare(room: string): Promise<void> {
    await this.redis.scripts.run('fanout-step', this.roomKeys(room).slice(0, 2), ['']);
  }

  /** Puts dead letters of these rooms back into their backlogs. @returns per letter 'OK', or why not */
  async replay(work: string, batch: number, keepMs: number, rooms: readonly string[], ids: readonly string[]): Promise<readonly string[]> {
    return (await this.run('fanout-replay', [work], rooms, [batch, keepMs, this.options.maxBacklog, ...ids])) as string[];
  }

  /** @returns per room how it was taken in, or an error; undefined when the session is dead */
  async join(session: string, rooms: ReadonlyArray<{ readonly room: string; readonly sync: boolean }>): Promise<ReadonlyArray<Admission | Error> | undefined> {
    const { sessions } = this.keys;
    const modes = rooms.map(({ sync }) => (sync ? 'sync' : 'async'));
    const [status, ...numbers] = (await this.run('fanout-join', [sessions, this.keys.roomsOf(session)], rooms.map(({ room }) => room), [session, ...modes])) as string[];
    return status === 'LOST' ? undefined : numbers.map((text, i) => refusalOf(text, this.channel(rooms[i]!.room)) ?? admissionOf(text));
  }

  async leave(session: string, departures: readonly Departure[]): Promise<readonly Ejected[]> {
    const turns = departures.map(({ forgone }) => forgone ?? '');
    return (await this.ejected(this.keys.roomsOf(session), [session, 'left', ...turns], departures.map(({ room }) => room))) ?? [];
  }

  /** Takes a dead session out of rooms. @returns undefined when it is not dead */
  async bury(session: string, rooms: readonly string[]): Promise<readonly Ejected[] | undefined> {
    return this.ejected(this.keys.roomsOf(session), [session, 'dead'], rooms);
  }

  /** Takes everybody out of these rooms who has not acknowledged in time. */
  async expire(rooms: readonly string[]): Promise<readonly Ejected[]> {
    return (await this.ejected(this.keys.dead, ['', 'timeout'], rooms)) ?? [];
  }

  async look(bornSince: number | undefined, oldWithinMs: number, skip: number): Promise<Attention> {
    const { sessions, current, rooms } = this.keys;
    const reply = (await this.redis.scripts.run('fanout-look', [sessions, current, rooms], [bornSince ?? '', Math.max(0, Math.round(oldWithinMs + GRACE_MS)), skip])) as [string, string[], string[], string[], number, unknown[], number];
    const [serverUs, dead, overdue, old, next, born, nextSession] = reply;
    const pairs: Array<[string, number]> = [];
    for (let i = 0; i + 1 < born.length; i += 2) pairs.push([String(born[i]), Number(born[i + 1])]);
    return { serverUs: Number(serverUs), dead, overdue, old, nextDeadlineMs: Number(next), nextSessionMs: Number(nextSession), born: pairs };
  }

  /** @returns per room its current message as text when the session owes it, '-' when it is no member, else '' */
  async fetch(session: string, rooms: readonly string[]): Promise<readonly string[]> {
    return (await this.redis.scripts.run('fanout-fetch', rooms.map((room) => this.channel(room)), [session])) as string[];
  }

  /** Some rooms a session is a member of. */
  async roomsOf(session: string, count: number): Promise<string[]> {
    return (await this.redis.commands.call('SRANDMEMBER', [this.keys.roomsOf(session), count])) as string[];
  }

  /** Forgets a session that has no rooms. @returns false: it lives, or has some */
  async part(session: string, ownWill: boolean): Promise<boolean> {
    const { sessions, members, names } = this.keys;
    const name = session.slice(0, session.lastIndexOf(':'));
    return Number(await this.redis.scripts.run('fanout-part', [sessions, members, names, this.keys.roomsOf(session)], [session, name, ownWill ? 1 : 0])) === 1;
  }

  async outOfBand(room: string, id: string, payload: string): Promise<void> {
    const channel = this.channel(room);
    const refusal = refusalOf(String(await this.redis.scripts.run('fanout-out', [channel], [`o${id} ${payload}`])), channel);
    if (refusal) throw refusal;
  }

  async remove(room: string): Promise<number> {
    const answer = await this.run('fanout-remove', [], [room], []);
    const refusal = refusalOf(String(answer), this.channel(room));
    if (refusal) throw refusal;
    return Number(answer);
  }

  async state(room: string): Promise<RawState> {
    const { sessions, members } = this.keys;
    const { state, backlog } = roomKeys(this.options.namespace, this.shard, room);
    const reply = (await this.redis.scripts.run('fanout-state', [sessions, members, state, backlog], [])) as [string, string, string, string, number, Array<string | number>];
    const [serverMs, number, text, deadline, waiting, list] = reply;
    const rows: Array<RawState['members'][number]> = [];
    for (let i = 0; i + 4 < list.length; i += 5) {
      rows.push({ session: String(list[i]), sync: list[i + 1] === 'sync', deadline: list[i + 2] === '' ? undefined : Number(list[i + 2]), ttlMs: Number(list[i + 3]), owes: Number(list[i + 4]) === 1 });
    }
    const shown = parseNotice(text);
    const current = shown?.kind === 'message' ? { message: shown.message, deadline: Number(deadline) } : undefined;
    return { number, serverMs: Number(serverMs), current, waiting: Number(waiting), members: rows };
  }

  async peek(room: string, offset: number, limit: number): Promise<WireMessage[]> {
    const flat = (await this.redis.commands.call('ZRANGE', [roomKeys(this.options.namespace, this.shard, room).backlog, offset, offset + limit - 1, 'WITHSCORES'])) as unknown[];
    const rows = Array.isArray(flat[0]) ? (flat as Array<[string, unknown]>) : flat.flatMap((text, i) => (i % 2 === 0 ? [[String(text), flat[i + 1]] as [string, unknown]] : []));
    return rows.map(([text, priority]) => waitingMessage(text, Number(priority), 0)).filter((message) => message !== undefined);
  }

  /** Of these messages those whose outcome is known, or why it cannot be asked for: the key is something else. */
  async outcomes(room: string, ids: readonly string[]): Promise<Outcome[] | ConnectionError> {
    const key = this.outcomesKey(room);
    const texts = await this.redis.commands.call('HMGET', [key, ...ids]).then((reply) => reply as ReadonlyArray<string | null>, (error: unknown) => unaskable(error, key));
    return texts instanceof Error ? texts : texts.flatMap((text, i) => (text === null ? undefined : parseOutcome(`${ids[i]!} ${text}\n${room}`)) ?? []);
  }

  async forgetOutcomes(room: string, ids: readonly string[]): Promise<void> {
    const key = this.outcomesKey(room);
    // In something else there are none.
    await this.redis.commands.call('HDEL', [key, ...ids]).catch((error: unknown) => unaskable(error, key));
  }

  async roomCount(): Promise<number> {
    return Number(await this.redis.commands.call('ZCARD', [this.keys.rooms]));
  }

  /** The rooms in which most messages wait; of busy ones what is noted lags behind, so they are counted. */
  async largest(count: number): Promise<Array<{ room: string; backlog: number }>> {
    const noted = (await this.redis.commands.call('ZRANGE', [this.keys.backlogs, 0, count - 1, 'REV'])) as unknown[];
    const counted = await Promise.all(noted.map(String).map(async (room) => ({ room, backlog: Number(await this.redis.commands.call('ZCARD', [roomKeys(this.options.namespace, this.shard, room).backlog])) })));
    return counted.filter(({ backlog }) => backlog > 0);
  }

  private async ejected(own: string, args: readonly Argument[], rooms: readonly string[]): Promise<readonly Ejected[] | undefined> {
    const [status, ...rows] = (await this.run('fanout-eject', [this.keys.sessions, own], rooms, args)) as [string, ...string[][]];
    if (status === 'LIVE') return undefined;
    return rows.map((row, i) => ({
      refusal: row[0] === undefined ? undefined : refusalOf(row[0], this.channel(rooms[i]!)),
      isOut: row[0] === 'no member',
      late: row.filter((text) => !text.includes(' ')),
      redelivered: row.find((text) => text.startsWith('redelivered '))?.slice('redelivered '.length),
      buried: row.find((text) => text.startsWith('buried '))?.slice('buried '.length),
    }));
  }

  private run(script: ScriptName, own: readonly string[], rooms: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const { current, backlogs, dead, rooms: all } = this.keys;
    const keys = [current, backlogs, dead, all, ...own];
    for (const room of rooms) keys.push(...this.roomKeys(room));
    return this.redis.scripts.run(script, keys, [this.rules, ...args]);
  }

  private outcomesKey(room: string): string {
    return roomKeys(this.options.namespace, this.shard, room).outcomes;
  }

  private roomKeys(room: string): readonly string[] {
    const known = this.keysOf.get(room);
    if (known) return known;
    const { state, backlog, outcomes } = roomKeys(this.options.namespace, this.shard, room);
    const keys = [state, backlog, outcomes];
    if (this.keysOf.size >= KEYS_KEPT) this.keysOf.clear();
    this.keysOf.set(room, keys);
    return keys;
  }
}

/** "id tries sender sentMs payload", as it waits. */
function waitingMessage(text: string, priority: number, turn: number): WireMessage | undefined {
  const match = /^(\d+) (\d+) \S+ (\d+) /.exec(text);
  if (!match) return undefined;
  return { id: match[1]!, turn, priority, redelivery: Number(match[2]), sentAt: Number(match[3]), payload: text.slice(match[0].length) };
}

/** A number, or the message that is owed already, as it was published. */
function admissionOf(text: string): Admission {
  const notice = parseNotice(text);
  return notice?.kind === 'message' ? { after: notice.message.turn - 1, owed: notice.message } : { after: Number(text), owed: undefined };
}

/** Tells Redis how many shards there are, or hears that it is another number. @throws FanoutMismatchError */
export async function registerFanout(redis: RedisConnection, options: ResolvedFanout, by: string): Promise<void> {
  const [shards, who] = (await redis.scripts.run('fanout-register', [fanoutKey(options.namespace)], [options.shards, by])) as [string, string];
  if (Number(shards) !== options.shards) throw new FanoutMismatchError(options.shards, Number(shards), who);
}
