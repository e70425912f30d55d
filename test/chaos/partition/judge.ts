import type { Entry, Outcome } from './effects.js';
import { Findings } from './findings.js';
import type { SentKey } from './load.js';
import { tenuresOf } from './tenures.js';

/** The verdict on a run: counters by name, and for each that must be 0 some of what was counted. */
export interface Judgement {
  readonly counts: Record<string, number>;
  readonly breaches: string[];
}

const FORBIDDEN = {
  lost: 'messages were sent and had no effect',
  unexpected: 'effects were of messages that nobody sent',
  duplicatedEffects: 'effects were applied again',
  inversions: 'effects came before one of an earlier message of their key, or were applied out of order',
  overlaps: 'handlers of a key began while one of an earlier message ran under the same token',
  sharedTokens: 'tokens were used by two workers',
  unannounced: 'messages were handled under a token that was never said to be assigned',
  rerunsBySameOwner: 'messages were handled twice by one owner that had not failed',
  rerunsAfterHandOver: 'messages were handled again although their owner had handed over cleanly',
  lossesWhileLive: 'partitions were taken from a live session',
  staleAcksAccepted: 'messages were acknowledged for an owner that was one no more',
  ackedWithoutEffect: 'messages were acknowledged before they had an effect',
  parkedMessages: 'messages were given up',
};

/**
 * A pure count over the ledger.
 *
 * Re-runs are held against losses one by one, without clocks: a message that was handled under several tokens was left
 * unfinished by every one of them but the highest, so each lower token must have been lost (not handed over), and
 * one token may leave at most `prefetch` of them.
 */
export function judge(entries: readonly Entry[], sent: ReadonlyMap<string, SentKey>, prefetch: number): Judgement {
  const found = new Findings(FORBIDDEN);
  const byPartition = tenuresOf(entries);
  const tenures = [...byPartition.values()].flat();
  const handedOver = new Set(tenures.flatMap(({ partition, token, revokedAt }) => (revokedAt === undefined ? [] : [`${partition} ${token}`])));
  const owned = new Set([...byPartition.values()].flatMap((list) => list.slice(-1).filter(({ revokedAt, lostAt }) => (revokedAt ?? lostAt) === undefined)));
  const losses = tenures.length - handedOver.size - owned.size;
  for (const { partition, token, by, lostFor } of tenures) if (lostFor === 'fenced') found.add('lossesWhileLive', `partition ${partition} token ${token} of ${by}`);

  const effects = new Map<string, number>();
  const last = new Map<string, number>();
  const units = new Map<string, { readonly partition: number; readonly tokens: number[] }>();
  const running = new Map<string, number>();
  const outcomes = new Map<string, Outcome>();
  const workers = new Map<string, string>();
  const outcomesSeen: Record<Outcome, number> = { applied: 0, stale: 0, again: 0, gap: 0 };
  let attempts = 0;
  let acks = 0;
  for (const { kind, by, partition, token, key, seq, detail } of entries) {
    const unit = `${key}#${seq}`;
    const tenure = `${partition} ${token}`;
    const chain = `${tenure} ${key}`;
    switch (kind) {
      case 'assigned':
        if ((workers.get(tenure) ?? by) !== by) found.add('sharedTokens', `partition ${tenure}: ${workers.get(tenure)} and ${by}`);
        workers.set(tenure, by);
        break;
      case 'attempt': {
        attempts++;
        if (workers.get(tenure) !== by) found.add('unannounced', `${unit} by ${by} in partition ${tenure}`);
        const open = running.get(chain);
        if (open !== undefined) found.add('overlaps', `${unit} beside #${open} in partition ${tenure}`);
        running.set(chain, seq);
        const known = units.get(unit) ?? { partition, tokens: [] };
        known.tokens.push(token);
        units.set(unit, known);
        break;
      }
      case 'effect': {
        running.delete(chain);
        const outcome = detail as Outcome;
        outcomesSeen[outcome]++;
        outcomes.set(`${unit} ${tenure}`, outcome);
        if (outcome === 'gap') found.add('inversions', `${unit} came after #${last.get(key) ?? 0} in partition ${tenure} of ${by}`);
        if (outcome !== 'applied') break;
        if (seq > (sent.get(key)?.count ?? 0) || sent.get(key)?.partition !== partition) found.add('unexpected', `${unit} in partition ${partition}`);
        effects.set(unit, (effects.get(unit) ?? 0) + 1);
        if (effects.get(unit)! > 1) found.add('duplicatedEffects', unit);
        else if (seq !== (last.get(key) ?? 0) + 1) found.add('inversions', `${unit} was applied after #${last.get(key) ?? 0}`);
        last.set(key, seq);
        break;
      }
      case 'ack':
        acks++;
        if (outcomes.get(`${unit} ${tenure}`) === 'stale') found.add('staleAcksAccepted', `${unit} of partition ${tenure} of ${by}`);
        if (!effects.has(unit)) found.add('ackedWithoutEffect', unit);
        break;
      case 'parked':
        found.add('parkedMessages', `a message of ${key} in partition ${tenure} as ${detail}`);
        break;
      default:
    }
  }
  let messages = 0;
  for (const [key, { count }] of sent) {
    messages += count;
    for (let seq = 1; seq <= count; seq++) if (!effects.has(`${key}#${seq}`)) found.add('lost', `${key}#${seq}`);
  }
  const left = new Map<string, number>();
  for (const [unit, { partition, tokens }] of units) {
    const different = [...new Set(tokens)].sort((a, b) => a - b);
    if (different.length < tokens.length) found.add('rerunsBySameOwner', `${unit} in partition ${partition}`);
    for (const token of different.slice(0, -1)) {
      const tenure = `${partition} ${token}`;
      left.set(tenure, (left.get(tenure) ?? 0) + 1);
      if (handedOver.has(tenure)) found.add('rerunsAfterHandOver', `${unit} of partition ${tenure}`);
    }
  }
  const reruns = attempts - units.size;
  const rerunsOfOneLoss = Math.max(0, ...left.values());
  const breaches = found.breaches();
  if (reruns > losses * prefetch) breaches.push(`${reruns} re-runs for ${losses} ownership losses with a prefetch of ${prefetch}`);
  if (rerunsOfOneLoss > prefetch) breaches.push(`${rerunsOfOneLoss} re-runs of one ownership loss with a prefetch of ${prefetch}`);
  const { applied, stale, again } = outcomesSeen;
  return {
    counts: {
      sent: messages, ...found.counts, attempts, effects: applied, acks, reruns, rerunsAllowed: losses * prefetch, rerunsOfOneLoss,
      ownerships: tenures.length, ownershipLosses: losses, refusedStale: stale, refusedAgain: again,
    },
    breaches,
  };
}
