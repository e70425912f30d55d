import { metric, type Bench, type Metrics, type Stage, type StandingContender } from '../model.js';
import { queueFlow } from '../queue/flow.js';
import { readCounters } from '../support/server-counters.js';
import { freePort } from './free-port.js';
import type { Kind } from './kinds.js';

const EMIT = 'emit';
const DIRECT = 'emitAsync';
const REDIS = 'Nest Redis';
const TCP = 'Nest TCP';
const LOOP = 'hand-written loop';

/** Bursts before the first that counts. */
const WARM_UP = 3;

function contender(name: string, kind: Kind, events: number, direct = false): StandingContender {
  return { name, stand: (stage) => stand(stage, kind, events, direct) };
}

async function stand(stage: Stage, kind: Kind, count: number, direct: boolean): Promise<() => Promise<Metrics>> {
  const options = { kind, direct, tcpPort: await freePort() };
  const server = await stage.spawn('transport-server', options);
  const client = await stage.spawn('transport-client', options);
  const burst = async (): Promise<Metrics> => {
    const expecting = server.next('expecting');
    server.send({ type: 'expect', count });
    await expecting;
    const before = await readCounters(stage.admin);
    const emitted = client.next('emitted');
    client.send({ type: 'emit', count });
    const sent = await emitted;
    const handled = server.next('handled');
    server.send({ type: 'outcome' });
    const done = await handled;
    const redisMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
    const lost = count - Number(done['count']);
    return {
      messagesPerSecond: (Number(done['count']) / (Number(done['settledAt'] ?? done['lastAt']) - Number(sent['startAt']))) * 1_000,
      emittedPerSecond: (count / (Number(sent['endAt']) - Number(sent['startAt']))) * 1_000,
      lost,
      serverCpuUsPerMessage: (redisMs * 1_000) / count,
      consumerCpuUsPerMessage: Number(done['cpuUs']) / count,
      producerCpuUsPerMessage: Number(sent['cpuUs']) / count,
    };
  };
  for (let i = 0; i < WARM_UP; i++) await burst();
  return burst;
}

export const transportEventsBench: Bench = {
  name: 'transport-events',
  about: 'events per second from emit to handler, one process each, beside the transports of Nest and a hand-written loop',
  rounds: { full: 15, short: 1 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const events = short ? 10_000 : 30_000;
    const loop = queueFlow({ name: LOOP, producer: 'queue-produce-pipeline', consumer: 'queue-consume-loop', messages: events }, short);
    return [contender(EMIT, 'streams', events), contender(REDIS, 'redis', events), contender(TCP, 'tcp', events), contender(DIRECT, 'streams', events, true), loop];
  },
  ratios: [
    { name: 'transport events: emit over Nest Redis', atLeast: 1.7, value: (result) => metric(result, EMIT, 'messagesPerSecond') / metric(result, REDIS, 'messagesPerSecond') },
    { name: 'transport events: emit over Nest TCP', value: (result) => metric(result, EMIT, 'messagesPerSecond') / metric(result, TCP, 'messagesPerSecond') },
    { name: 'transport events: emitAsync over the hand-written loop', atLeast: 1.2, value: (result) => metric(result, DIRECT, 'messagesPerSecond') / metric(result, LOOP, 'messagesPerSecond') },
  ],
};
