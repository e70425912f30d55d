import { metric, type Bench, type Metrics, type Ratio, type Stage, type StandingContender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import { freePort } from './free-port.js';
import type { Kind } from './kinds.js';

const SEND = 'send';
const REDIS = 'Nest Redis';
const TCP = 'Nest TCP';
const RAW = 'raw streams with scripts';
/** Requests at a time, and how many a burst has of them: each takes a few tenths of a second. */
const CONCURRENCY = [[1, 300], [64, 2_000], [256, 4_000]] as const;
const WARM_UP = 20_000;

function contender(name: string, kind: Kind | 'raw', short: boolean): StandingContender {
  return { name, stand: (stage) => stand(stage, kind, short) };
}

async function stand(stage: Stage, kind: Kind | 'raw', short: boolean): Promise<() => Promise<Metrics>> {
  const options = { kind, tcpPort: await freePort() };
  const raw = kind === 'raw';
  const server = await stage.spawn(raw ? 'transport-raw-server' : 'transport-server', options);
  const client = await stage.spawn(raw ? 'transport-raw-client' : 'transport-client', options);
  const run = async (count: number, concurrency: number): Promise<Readonly<Record<string, unknown>>> => {
    const asked = client.next('asked');
    client.send({ type: 'ask', count, concurrency });
    return asked;
  };
  const serverCpuUs = async (): Promise<number> => {
    const usage = server.next('usage');
    server.send({ type: 'usage' });
    return Number((await usage)['cpuUs']);
  };
  await run(short ? WARM_UP / 10 : WARM_UP, 64);
  return async () => {
    const metrics: Record<string, number> = {};
    for (const [concurrency, count] of CONCURRENCY) {
      await run(count / 10, concurrency); // the processor was another contender's
      const before = await readCounters(stage.admin);
      const serverBefore = await serverCpuUs();
      const { ms, p50Ms, p99Ms, cpuUs } = await run(count, concurrency);
      const after = await readCounters(stage.admin);
      metrics[`at${concurrency}PerSecond`] = (count / Number(ms)) * 1_000;
      metrics[`at${concurrency}P50Ms`] = Number(p50Ms);
      metrics[`at${concurrency}P99Ms`] = Number(p99Ms);
      if (concurrency !== 256) continue;
      metrics['clientCpuUsPerRequest'] = Number(cpuUs) / count;
      metrics['serverCpuUsPerRequest'] = ((await serverCpuUs()) - serverBefore) / count;
      metrics['redisCpuUsPerRequest'] = ((after.cpuMs - before.cpuMs) * 1_000) / count;
    }
    return metrics;
  };
}

function over(contenderName: string, name: string, what: string, goal: Pick<Ratio, 'atLeast' | 'atMost'> = {}): Ratio {
  return { name: `transport requests: ${what} over ${contenderName}`, ...goal, value: (result) => metric(result, SEND, name) / metric(result, contenderName, name) };
}

export const transportRequestsBench: Bench = {
  name: 'transport-requests',
  about: 'round trips of send, 1, 64 and 256 at a time, one process each, beside the transports of Nest',
  rounds: { full: 25, short: 1 },
  headline: 'at256PerSecond',
  contenders: (short) => [contender(SEND, 'streams', short), contender(REDIS, 'redis', short), contender(TCP, 'tcp', short), contender(RAW, 'raw', short)],
  ratios: [
    over(REDIS, 'at1P50Ms', 'p50 at 1', { atMost: 1 }),
    over(REDIS, 'at64PerSecond', 'rate at 64', { atLeast: 0.95 }),
    over(REDIS, 'at256PerSecond', 'rate at 256', { atLeast: 1.3 }),
    over(REDIS, 'at1P99Ms', 'p99 at 1'),
    over(TCP, 'at256PerSecond', 'rate at 256'),
    over(RAW, 'at1P50Ms', 'p50 at 1'),
    over(RAW, 'at256PerSecond', 'rate at 256'),
  ],
};
