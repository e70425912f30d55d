import { Findings } from '../partition/findings.js';
import { EFFECT, PARKED, RESOLVED, STORED, UNSENT, type Account } from './account.js';

const FORBIDDEN = {
  lost: 'messages were stored, said their sends, and neither handled nor kept',
  storedTwice: 'messages were stored twice',
  handledUnderTwoIds: 'messages were handled under two ids, so they were stored twice',
  storedThoughUnsent: 'messages were stored although their sends said that they were not',
  settledTwice: 'sends were settled twice',
  rerunsBySameSession: 'messages were handled twice by one session',
  rerunsWithoutLoss: 'messages were handled by two sessions neither of which was lost',
  ackedTwice: 'acknowledgements of two sessions were accepted for one message',
  untyped: 'sends were rejected with something that is no error of the library',
};

export type Forbidden = keyof typeof FORBIDDEN;

export interface JudgeOptions {
  /** Messages a session may leave behind: its share of the consumer's prefetch. */
  readonly perSession: number;
  /** Workers that were killed: their sessions are lost, though nobody could write that down. */
  readonly killed: ReadonlySet<string>;
  /** Counted, and no breach: where the fault takes what the server has. */
  readonly tolerated?: readonly Forbidden[];
  /** Judges these producers' messages alone. */
  readonly producers?: ReadonlySet<number>;
}

export interface Judgement {
  readonly counts: Record<string, number>;
  readonly breaches: string[];
}

/** Who began it, in which session, and what became of that: enough to follow one message. */
function told(account: Account, p: number, n: number): string {
  const runs = account.runs.get(p)?.get(n) ?? [];
  return runs.length === 0 ? 'begun by nobody' : runs.map(({ by, session, id, at }) => `${id} begun by ${by} in ${session}, ${account.sessions.get(session)?.state ?? 'unknown'}, at ${at}`).join('; ');
}

/**
 * A pure count over the ledger, without clocks: of the sessions that ran a message at most one may have been in order to
 * the end; every other must have been lost, and each lost one may leave so many messages to others and no more.
 */
export function judge(account: Account, { perSession, killed, tolerated = [], producers }: JudgeOptions): Judgement {
  const found = new Findings(FORBIDDEN);
  const quiet = new Findings(FORBIDDEN);
  const add = (kind: Forbidden, sample: string): void => (tolerated.includes(kind) ? quiet : found).add(kind, sample);
  const isLost = (session: string): boolean => {
    const known = account.sessions.get(session);
    return known === undefined || known.state === 'lost' || (known.state === 'live' && killed.has(known.by));
  };
  for (const sample of account.storedTwice) add('storedTwice', sample);
  for (const sample of account.settledTwice) add('settledTwice', sample);
  for (const sample of account.ackedTwice) add('ackedTwice', sample);
  for (let i = 0; i < (account.rejections['UNTYPED'] ?? 0); i++) add('untyped', 'see onError');

  const counts = { resolved: 0, unsent: 0, unsure: 0, effects: 0, keptUnhandled: 0, reruns: 0 };
  for (const [p, flags] of account.sends) {
    if (producers && !producers.has(p)) continue;
    for (const [n, flag] of flags.entries()) {
      if (flag === 0) continue;
      const there = (flag & (EFFECT | STORED | PARKED)) !== 0;
      if ((flag & EFFECT) !== 0) counts.effects++;
      else if (there) counts.keptUnhandled++;
      if ((flag & RESOLVED) !== 0) {
        counts.resolved++;
        if (!there) add('lost', `${p}#${n} (${told(account, p, n)})`);
      } else if ((flag & UNSENT) !== 0) {
        counts.unsent++;
        if (there) add('storedThoughUnsent', `${p}#${n}`);
      } else if ((flag & ~(EFFECT | STORED | PARKED)) !== 0) counts.unsure++;
    }
  }
  const left = new Map<string, number>();
  for (const [p, units] of account.runs) {
    if (producers && !producers.has(p)) continue;
    for (const [n, runs] of units) {
      if (runs.length === 1) continue;
      counts.reruns += runs.length - 1;
      const unit = `${p}#${n}`;
      if (new Set(runs.map(({ id }) => id)).size > 1) add('handledUnderTwoIds', `${unit} as ${[...new Set(runs.map(({ id }) => id))].join(' and ')}`);
      const sessions = new Set(runs.map(({ session }) => session));
      if (sessions.size < runs.length) add('rerunsBySameSession', `${unit} by ${runs.map(({ by }) => by).join(' ')}`);
      const sound = [...sessions].filter((session) => !isLost(session));
      if (sound.length > 1) add('rerunsWithoutLoss', `${unit} by ${sound.join(' and ')}`);
      // Where all are lost, the last one may have finished it: the one that began last. Of a paused process what it wrote down may come late.
      const finished = sound.length === 0 ? runs.reduce((last, run) => (run.at >= last.at ? run : last)).session : undefined;
      for (const session of sessions) if (isLost(session) && session !== finished) left.set(session, (left.get(session) ?? 0) + 1);
    }
  }
  const losses = [...account.sessions.keys()].filter(isLost).length;
  const leftByOne = Math.max(0, ...left.values());
  const breaches = found.breaches();
  // Nothing was promised about any message, so nothing is shown.
  if (counts.resolved === 0) breaches.push('no send resolved');
  if (!tolerated.includes('rerunsWithoutLoss')) {
    if (counts.reruns > losses * perSession) breaches.push(`${counts.reruns} re-runs for ${losses} lost sessions that may leave ${perSession} each`);
    if (leftByOne > perSession) {
      const [worst] = [...left].find(([, count]) => count === leftByOne)!;
      const units = [...account.runs].flatMap(([p, all]) => [...all].filter(([, runs]) => runs.length > 1 && runs.some(({ session }) => session === worst)).map(([n]) => `${p}#${n}: ${told(account, p, n)}`));
      breaches.push(`one lost session left ${leftByOne} messages to be run again; it may hold ${perSession}: ${units.join('\n      ')}`);
    }
  }
  const { reruns, ...rest } = counts;
  const kinds: Record<string, number> = {};
  for (const kind of Object.keys(FORBIDDEN)) kinds[kind] = found.counts[kind]! + quiet.counts[kind]!;
  return { counts: { ...rest, ...kinds, reruns, rerunsAllowed: losses * perSession, leftByOne, sessions: account.sessions.size, sessionsLost: losses }, breaches };
}
