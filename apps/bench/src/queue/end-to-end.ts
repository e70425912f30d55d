import { metric, type Bench, type Stage, type StandingContender } from '../model.js';
import { queueFlow } from './flow.js';

const ENGINE = 'QueueProducer.send -> message handler';
const LOOP = 'ioredis loop: XADD pipelines, XREADGROUP, XACK + XDEL';
const SCRIPTED = 'ioredis loop, one script per 200 XADDs';

const over = (other: string, name: string) => (round: Parameters<typeof metric>[0]): number => metric(round, ENGINE, name) / metric(round, other, name);

export const queueEndToEndBench: Bench = {
  name: 'queue-flow',
  about: 'messages per second from one producer process to one consumer process while both run: acknowledged and deleted, all options at their defaults',
  rounds: { full: 15, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 40_000 : 60_000;
    const loops = [
      queueFlow({ name: ENGINE, producer: 'queue-produce-engine', consumer: 'queue-consume-engine', messages }, short),
      queueFlow({ name: LOOP, producer: 'queue-produce-pipeline', consumer: 'queue-consume-loop', messages }, short),
    ];
    return short ? loops : [...loops, queueFlow({ name: SCRIPTED, producer: 'queue-produce-script', consumer: 'queue-consume-loop', messages }, short)];
  },
  ratios: [
    { name: 'queue end to end: over the hand-written loop', atLeast: 1.2, value: over(LOOP, 'messagesPerSecond') },
    { name: 'queue end to end: CPU per message of all three processes over the hand-written loop', value: over(LOOP, 'cpuUsPerMessage') },
    { name: 'queue end to end: server CPU per message over the hand-written loop', value: over(LOOP, 'serverCpuUsPerMessage') },
  ],
};

const APPENDED = 'QueueProducer.send -> message handler, AOF everysec';

/** The same with everything written to the append-only file, fsync once a second. */
function appended({ name, stand }: StandingContender): StandingContender {
  return {
    name,
    stand: async (stage) => {
      await append(stage);
      return stand(stage);
    },
  };
}

async function append({ admin }: Stage): Promise<void> {
  await admin.config('SET', 'appendfsync', 'everysec');
  await admin.config('SET', 'appendonly', 'yes');
  while (!/aof_rewrite_in_progress:0\r/.test(await admin.info('persistence'))) await new Promise((resolve) => setTimeout(resolve, 10));
}

export const queueAofBench: Bench = {
  name: 'queue-aof',
  about: 'queue-flow with the append-only file, appendfsync everysec, for both sides',
  rounds: { full: 15, short: 0 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 40_000 : 60_000;
    return [
      appended(queueFlow({ name: APPENDED, producer: 'queue-produce-engine', consumer: 'queue-consume-engine', messages }, short)),
      appended(queueFlow({ name: LOOP, producer: 'queue-produce-pipeline', consumer: 'queue-consume-loop', messages }, short)),
    ];
  },
  ratios: [
    { name: 'queue end to end, AOF everysec: over the hand-written loop', atLeast: 1, value: (round) => metric(round, APPENDED, 'messagesPerSecond') / metric(round, LOOP, 'messagesPerSecond') },
  ],
};
