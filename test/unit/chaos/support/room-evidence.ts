import { judge, type Evidence, type Judgement } from '../../../chaos/fanout/judge.js';
import type { Death } from '../../../chaos/fanout/deaths.js';
import type { Entry, Kind } from '../../../chaos/fanout/record.js';
import type { Release } from '../../../chaos/fanout/witness.js';

/** Milliseconds of all times below are since then. */
const T = 1_700_000_000_000;
export const ROOM = 'r';
export const TTL_MS = 1_000;
export const ACK_TIMEOUT_MS = 2_000;
export const ROOM_TIMEOUT_MS = 3_500;

function entry(kind: Kind, at: number, sub: string, id: string, detail: string, room = ROOM, redelivery = 0): Entry {
  return { kind, at: T + at, on: T + at, sub, room, id, redelivery, detail };
}

export const joined = (at: number, sub: string, session: string, mode = 'sync'): Entry => entry('in', at, sub, '-', `${mode} ${session}`);
export const ejected = (at: number, sub: string, why: string): Entry => entry('out', at, sub, '-', why);
export const leaving = (at: number, sub: string, how: 'leave' | 'stop' = 'leave'): Entry => entry('leaving', at, sub, '-', how);
export const shown = (at: number, sub: string, id: string, redelivery = 0): Entry => entry('shown', at, sub, id, '1', ROOM, redelivery);
export const acked = (at: number, sub: string, id: string, redelivery = 0): Entry => entry('acked', at, sub, id, '1', ROOM, redelivery);
/** Shown and acknowledged in time. */
export const saw = (at: number, sub: string, id: string): Entry[] => [shown(at, sub, id), acked(at + 1, sub, id)];

export const release = (id: string, at: number, sentAt = at - 1, redelivery = 0): Release => ({ id, redelivery, turn: (T + at) * 1_000, sentAt: T + sentAt });
export const death = (label: string, at: number, deadline: number): Death => ({ label, at: T + at, deadline: T + deadline, latest: T + deadline });

/** Two processes with one subscriber each, in one room since the beginning. */
export const TWO: readonly Entry[] = [
  entry('session', 0, 'w1/-', '-', 's1:1 fanout 0', '-'), entry('session', 0, 'w2/-', '-', 's2:1 fanout 0', '-'),
  joined(1, 'w1/1', 's1:1'), joined(1, 'w2/1', 's2:1'),
];

interface Story {
  readonly entries: readonly Entry[];
  readonly releases: readonly Release[];
  /** Default: what went out. */
  readonly sent?: readonly string[];
  readonly deaths?: Readonly<Record<string, Death>>;
  readonly endAt?: number;
  readonly allowed?: Partial<Pick<Evidence, 'stallAllowedMs' | 'overdueAllowedMs' | 'idleAllowedMs'>>;
  readonly mixed?: boolean;
}

/** Judged as the long form is. */
export function verdictOn({ entries, releases, sent = [...new Set(releases.map(({ id }) => id))], deaths = {}, endAt = 10_000, allowed, mixed = false }: Story): Judgement {
  return judge({
    entries: [...entries].sort((a, b) => a.on - b.on), releases: () => releases, sent: new Map([[ROOM, sent]]), mixed: new Set(mixed ? [ROOM] : []),
    deaths: new Map(Object.entries(deaths)), killed: new Map(Object.values(deaths).map(({ label, at }) => [label, at])), endAt: T + endAt,
    ttlMs: TTL_MS, stallAllowedMs: 2_000, overdueAllowedMs: 1_000, idleAllowedMs: 1_000, ackTimeoutMs: ACK_TIMEOUT_MS, roomTimeoutMs: ROOM_TIMEOUT_MS, ...allowed,
  });
}

/** Times as the short form allows them. */
export const SHORT = { stallAllowedMs: 10_000, overdueAllowedMs: 5_000, idleAllowedMs: 5_000 };
