import { percentile } from '../../support/percentile.js';
import { Findings } from '../partition/findings.js';
import { judge as judgeQueue } from '../queue/judge.js';
import type { TransportAccount } from './account.js';

const FORBIDDEN = {
  unanswered: 'requests were not answered although their client lived',
  failed: 'requests failed',
  wrong: 'requests were answered with other values, or in another order',
  toldTwice: 'requests ended twice for their caller',
  late: 'requests were answered too late',
};

export interface JudgeOptions {
  /** Messages a session may leave behind: its share of what a consumer holds. */
  readonly perSession: { readonly events: number; readonly requests: number };
  /** Processes that were killed. */
  readonly killed: ReadonlySet<string>;
  readonly killedClients: ReadonlySet<number>;
  /** A request may take so long. */
  readonly withinMs: number;
}

/** A pure count over the ledger: events by service as those of a queue; requests by what their callers were told. */
export function judge(account: TransportAccount, { perSession, killed, killedClients, withinMs }: JudgeOptions): { verdict: Record<string, unknown>; breaches: string[] } {
  const verdict: Record<string, unknown> = {};
  const breaches: string[] = [];
  const books = [...account.services].map(([service, each]) => [service, each, perSession.events] as const);
  for (const [book, each, allowed] of [...books, ['requests', account.requests, perSession.requests] as const]) {
    const { counts, breaches: broken } = judgeQueue(each, { perSession: allowed, killed });
    for (const name of ['resolved', 'effects', 'lost', 'reruns', 'rerunsAllowed', 'leftByOne', 'sessionsLost', 'ackedTwice']) verdict[`${book}.${name}`] = counts[name];
    breaches.push(...broken.map((text) => `${book}: ${text}`));
  }
  const found = new Findings(FORBIDDEN);
  for (const name of account.toldTwice) found.add('toldTwice', name);
  let abandoned = 0;
  for (const name of account.asked) {
    if (account.told.has(name)) continue;
    if (killedClients.has(Number.parseInt(name, 10))) abandoned++;
    else found.add('unanswered', name);
  }
  const times: number[] = [];
  for (const [name, { ms, outcome }] of account.told) {
    if (outcome !== 'ok') found.add(outcome.startsWith('wrong') ? 'wrong' : 'failed', `${name} after ${ms} ms: ${outcome}`);
    else if (ms > withinMs) found.add('late', `${name} after ${ms} ms, at most ${withinMs}`);
    times.push(ms);
  }
  breaches.push(...found.breaches());
  const at = (part: number): number => (times.length > 0 ? percentile(times, part) : 0);
  return {
    verdict: { ...verdict, asked: account.asked.size, answered: account.told.size, abandoned, ...found.counts, p50Ms: at(50), p99Ms: at(99), slowestMs: at(100), slowestAllowedMs: withinMs },
    breaches,
  };
}
