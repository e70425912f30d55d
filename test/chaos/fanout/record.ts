/**
 * What subscribers write down. `sub` is one subscription of one worker: "w3/17".
 *
 *  session  the worker has a new session; detail: session, scope
 *  renewed  a heartbeat was accepted, sent at this time; detail: session
 *  lost     a session ended against its will; detail: session
 *  in       a subscriber is in its room, from the next message on; detail: sync | async, session
 *  out      it was ejected; detail: why
 *  leaving  written, and known to be in the ledger, before it says that it leaves; detail: leave | stop, which waits for its handler
 *  shown    its handler was called; detail: attempt
 *  acked    written, and known to be in the ledger, before the library is told
 */
export type Kind = 'session' | 'renewed' | 'lost' | 'in' | 'out' | 'leaving' | 'shown' | 'acked';

export interface Note {
  readonly kind: Kind;
  /** Server milliseconds at the worker when it happened. */
  readonly at: number;
  readonly sub: string;
  readonly room: string;
  readonly id: string;
  readonly redelivery: number;
  readonly detail: string;
}

/** A note and the ledger's own time, in milliseconds, when it came in: its clock is read once for all, in the order of the log. */
export interface Entry extends Note {
  readonly on: number;
}

export const RECORD = `-- KEYS 1 log  ARGV lines
local time = redis.call('TIME')
local stamp = time[1] .. string.format('%06d', time[2]) .. ' '
for i = 1, #ARGV do redis.call('RPUSH', KEYS[1], stamp .. ARGV[i]) end
return #ARGV`;

export function lineOf({ kind, at, sub, room, id, redelivery, detail }: Note): string {
  return `${kind} ${at} ${sub} ${room} ${id} ${redelivery} ${detail}`;
}

export function entryOf(line: string): Entry {
  const [on, kind, at, sub, room, id, redelivery, ...detail] = line.split(' ') as [string, Kind, string, string, string, string, string, ...string[]];
  return { on: Number(on) / 1_000, kind, at: Number(at), sub, room, id, redelivery: Number(redelivery), detail: detail.join(' ') };
}

export const labelOf = (sub: string): string => sub.slice(0, sub.indexOf('/'));
