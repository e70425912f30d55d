import { type Scenario, within } from '../scenario.js';
import { Faults } from '../transport/faults.js';
import { judge } from '../transport/judge.js';
import { REQUEST_QUEUES } from '../transport/messages.js';
import { backlog, strangers, traces } from '../transport/traces.js';
import { TransportWorld } from '../transport/world.js';

const TTL_MS = 1_000;
const SERVICES = ['orders', 'mailing'];
const INSTANCES = 3;
const CLIENTS = 2;
/** Small, so that the bound on re-runs is a narrow one. */
const PREFETCH = 48;
const CONCURRENCY = 24;
/** Beyond the ttl: noticed, taken over, run and answered; and once more where the next server dies over it, too. */
const ANSWER_MS = 4_000;
const QUIET_MS = 4 * TTL_MS + 3_000;
const REPLIES_GONE_MS = 32_000;

export const transportKills: Scenario = {
  name: 'transport-kills',
  about: 'two services of three servers each are SIGKILLed and SIGSTOPped at random, and some clients, among 1,000 short-lived ones (short: 12 faults, 60 clients): no event lost, every request answered once, nothing left behind',
  takesSeconds: 200,
  run: (context) => TransportWorld.with(context, {
    services: SERVICES, shards: context.topology === 'cluster' ? 3 : 2, ttlMs: TTL_MS, concurrency: CONCURRENCY, requestTimeoutMs: 30_000,
    events: { prefetch: PREFETCH, concurrency: 12 }, eventsPerSecond: 150, requestsPerSecond: 50,
  }, async (world) => {
    const { rng, short } = context;
    const { shards } = world.options;
    const [strikes, everyMs, guests] = short ? [14, 350, 60] : [200, 550, 1_000];
    const perSession = { events: Math.ceil(PREFETCH / shards), requests: Math.ceil(CONCURRENCY / shards) };

    await Promise.all(SERVICES.flatMap((service) => Array.from({ length: INSTANCES }, () => world.serve(service, rng.chance(0.5) ? 'auto' : 'manual'))));
    await Promise.all(Array.from({ length: CLIENTS }, () => world.startClient()));
    const visitors = await world.startGuests(guests, strikes * everyMs);
    context.say('all are up');
    const faults = new Faults(world, rng.fork(), { strikes, everyMs, size: INSTANCES, clientEvery: short ? 6 : 20 });
    await faults.go();
    context.say('the faults are over');
    await visitors.first('gone', 120_000, 'the end of the last short-lived client');
    await Promise.all(world.clients.map((client) => client.ask({ type: 'hold' }, 'held', 60_000)));
    const drainedMs = await world.handled(within(context, QUIET_MS));
    await world.until('nothing is pending', async () => (await backlog(world)).pending === 0, within(context, QUIET_MS));
    await world.until('the consumers of the dead are gone', async () => (await strangers(world)).length === 0, within(context, QUIET_MS));
    const { pending, kept, dead } = await backlog(world);
    const consumers = await strangers(world);
    const breaches = await world.stop([visitors, ...world.clients, ...world.servers]);
    if (!short) await world.until('the replies to clients that were killed are gone', async () => (await traces(world)).replies === 0, REPLIES_GONE_MS);
    const left = await traces(world);

    const { verdict, breaches: broken } = judge(world.account, { perSession, killed: world.killed, killedClients: world.killedClients, withinMs: within(context, TTL_MS + ANSWER_MS) });
    breaches.push(...broken);
    if (pending > 0) breaches.push(`${pending} messages are pending when all is handled`);
    if (kept > 0) breaches.push(`${kept} messages are kept when all is handled`);
    if (dead > 0) breaches.push(`${dead} messages became dead letters`);
    if (consumers.length > 0) breaches.push(`${consumers.length} consumers are left of nobody: ${consumers[0]}`);
    if (left.wrong.length > 0) breaches.push(`${left.wrong.length} keys are left that should not be: ${left.wrong.slice(0, 3).join('; ')}`);
    const allowed = short ? world.killedClients.size : 0;
    if (left.replies > allowed) breaches.push(`${left.replies} streams of replies are left; ${allowed} clients could not take theirs along`);
    const orphans = world.killedClients.size * (REQUEST_QUEUES.length + 1) * shards;
    if (left.orphaned > orphans) breaches.push(`${left.orphaned} records of producers are kept for more than a minute; clients that were killed leave ${orphans} at most`);
    if (faults.failures.length > 0) breaches.push(`faults or starts failed: ${faults.failures.slice(0, 3).join('; ')}`);
    breaches.push(...world.complaints());
    return { verdict: { ...verdict, ...faults.counts, guests, pending, kept, dead, consumersLeft: consumers.length, keys: left.keys, replyStreams: left.replies, producerRecords: left.records, orphanedRecords: left.orphaned, drainedMs, troubles: world.troubles().length }, breaches };
  }),
};
