import { createRng } from '../../support/seed.js';
import type { Report } from '../queue/messages.js';
import { connectionTo, QueueWorld } from '../queue/world.js';
import { type Scenario, within } from '../scenario.js';

const PRODUCERS = 20;
/** Of all its messages at least so many are in flight when a producer is closed. */
const OPEN_AT_CLOSE = 0.3;
/** Beyond what `close` was given: the time to settle and to say so. */
const CLOSE_SLACK_MS = 1_500;
/** With Redis down the second one, which was given a minute, waits for the command under way. */
const COMMAND_TIMEOUT_MS = 700;

type Closed = Extract<Report, { type: 'closed' }>;

export const queueProducers: Scenario = {
  name: 'queue-producers',
  about: 'twenty producers that are closed with 30 % in flight, or killed: what resolved is stored, once; what was not sent was rejected',
  takesSeconds: 60,
  run: (context) => QueueWorld.with(context, { shards: context.topology === 'cluster' ? 6 : 2, ttlMs: 5_000, tuning: { prefetch: 256 } }, async (world) => {
    const { short, rng, say } = context;
    const breaches: string[] = [];
    const slackMs = within(context, CLOSE_SLACK_MS);
    const each = short ? 12_000 : 50_000;
    const many = short ? 4 : PRODUCERS;
    const draws = rng.shuffle(Array.from({ length: many }, (_, i) => i));
    const fates = draws.map((i) => (i % 2 === 0 ? { dieAt: rng.int(1, Math.round(each * 0.9)) } : { closeMs: [0, 20, 30_000][(i - 1) / 2 % 3]! }));
    const producers = await Promise.all(fates.map((fate) => world.produce({ total: each, window: Math.ceil(each * OPEN_AT_CLOSE), ballast: 40, ...fate })));
    const closed = await Promise.all(producers.map(async ({ process }, i) => {
      if (fates[i]?.dieAt === undefined) return process.waitFor((report): report is Closed => report.type === 'closed', 120_000, 'its close');
      await process.exited;
      return undefined;
    }));
    await world.sync();
    const stored = await world.readQueue();
    const truth = { closed: 0, killed: 0, called: 0, openAtClose: Infinity, rejectedAtClose: 0, longestCloseMs: 0 };
    for (const [i, end] of closed.entries()) {
      if (!end) {
        truth.killed++;
        continue;
      }
      truth.closed++;
      truth.called += end.called;
      truth.openAtClose = Math.min(truth.openAtClose, end.open);
      truth.rejectedAtClose += end.unsent;
      truth.longestCloseMs = Math.max(truth.longestCloseMs, Math.round(end.ms));
      breaches.push(...checkClose(end, fates[i]!.closeMs!, `p${i + 1}`, slackMs));
      if (end.open < OPEN_AT_CLOSE * each) breaches.push(`p${i + 1} had only ${end.open} of ${each} messages in flight when it was closed`);
      if (end.called !== each) breaches.push(`p${i + 1} called send ${end.called} times, not ${each}`);
    }
    say(`${stored} messages lie in the queue; ${JSON.stringify(truth)}`);
    if (truth.rejectedAtClose === 0) breaches.push('no close came while messages were on their way: this run shows nothing');
    const { counts, breaches: broken } = world.judge();
    breaches.push(...broken, ...(await closedWhileDown(world).catch((error: unknown) => [`with Redis down: ${String(error)}`])));
    await Promise.all(producers.filter((_, i) => fates[i]?.dieAt === undefined).map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
    breaches.push(...world.leftovers());
    return { verdict: { producers: many, each, stored, ...truth, openAtCloseAtLeast: Math.ceil(OPEN_AT_CLOSE * each), closeSlackAllowedMs: slackMs, ...counts, rejections: world.account.rejections }, breaches };
  }),
};

function checkClose(end: Closed, timeoutMs: number, who: string, slackMs: number, againMs = slackMs): string[] {
  const breaches: string[] = [];
  if (end.resolved + end.rejected !== end.called) breaches.push(`${who}: ${end.called} sends, ${end.resolved} resolved and ${end.rejected} rejected`);
  if (end.unsent !== end.rejected) breaches.push(`${who}: close told of ${end.unsent} unsent, ${end.rejected} were rejected`);
  if (end.againUnsent !== end.unsent) breaches.push(`${who}: the second close told of ${end.againUnsent} unsent, the first of ${end.unsent}`);
  if (end.ms > timeoutMs + slackMs) breaches.push(`${who}: close took ${end.ms.toFixed(0)} ms (it was given ${timeoutMs}; allowed ${timeoutMs + slackMs})`);
  if (end.againMs > againMs) breaches.push(`${who}: the second close took ${end.againMs.toFixed(0)} ms (allowed ${againMs})`);
  if (end.afterwards !== 'CLOSED') breaches.push(`${who}: a send after close: ${end.afterwards}`);
  return breaches;
}

/** Redis is gone: close takes the time it was given and no more, twice, and every send is rejected. */
async function closedWhileDown(world: QueueWorld): Promise<string[]> {
  const { topology, context: { say, seed } } = world;
  const producer = await world.produce({ perSecond: 2_000, connection: connectionTo(topology), commandTimeoutMs: COMMAND_TIMEOUT_MS, seed: createRng(seed).int(1, 1e9) });
  await producer.process.waitFor(({ type }) => type === 'ready', 10_000, 'its start');
  await world.until('it sends', () => world.account.lastResolvedOf(producer.number) > 0);
  await Promise.all(topology.servers.map((server) => server.kill('SIGKILL')));
  await world.until('messages wait', async () => {
    const { called, resolved } = await producer.ask({ type: 'status' }, 'status');
    return called - resolved > 500;
  });
  const timeoutMs = 700;
  const end = await producer.ask({ type: 'close', timeoutMs }, 'closed');
  say(`close with Redis down: ${end.ms.toFixed(0)} ms, again ${end.againMs.toFixed(0)} ms, ${end.unsent} unsent`);
  const slackMs = within(world.context, CLOSE_SLACK_MS);
  const breaches = checkClose(end, timeoutMs, 'with Redis down', slackMs, COMMAND_TIMEOUT_MS + slackMs);
  if (end.unsent === 0) breaches.push('with Redis down: close told of nothing unsent');
  await producer.stop().catch((error: unknown) => breaches.push(String(error)));
  return breaches;
}
