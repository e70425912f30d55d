import { metric, type Bench, type Contender, type Stage } from '../model.js';
import { queueFlow } from './flow.js';

const ENGINE = 'QueueProducer.send -> message handler';
const LOOP = 'ioredis loop: XADD pipelines, XREADGROUP, XACK + XDEL';
const SCRIPTED = 'ioredis loop, one script per 200 XADDs';

const over = (other: string, name: string) => (round: Parameters<typeof metric>[0]): number => metric(round, ENGINE, name) / metric(round, other, name);

export const queueEndToEndBench: Bench = {
  name: 'queue-flow',
  about: 'messages per second from one producer process to one consumer process while both run: acknowledged and deleted, all options at their defaults',
  rounds: { full: 5, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 40_000 : 200_000;
    const loops = [
      queueFlow({ name: ENGINE, producer: 'queue-produce-engine', consumer: 'queue-consume-engine', messages }),
      queueFlow({ name: LOOP, producer: 'queue-produce-pipeline', consumer: 'queue-consume-loop', messages }),
    ];
    return short ? loops : [...loops, queueFlow({ name: SCRIPTED, producer: 'queue-produce-script', consumer: 'queue-consume-loop', messages })];
  },
  ratios: [
    { name: 'queue end to end: over the hand-written loop', atLeast: 1.2, value: over(LOOP, 'messagesPerSecond') },
    { name: 'queue end to end: CPU per message of all three processes over the hand-written loop', value: over(LOOP, 'cpuUsPerMessage') },
    { name: 'queue end to end: server CPU per message over the hand-written loop', value: over(LOOP, 'serverCpuUsPerMessage') },
  ],
};

const APPENDED = 'QueueProducer.send -> message handler, AOF everysec';

/** The same with everything written to the append-only file, fsync once a second. */
function appended(contender: Contender): Contender {
  return {
    name: contender.name,
    round: async (stage) => {
      await configure(stage, 'yes');
      try {
        return await contender.round(stage);
      } finally {
        await configure(stage, 'no');
      }
    },
  };
}

async function configure({ admin }: Stage, appendonly: 'yes' | 'no'): Promise<void> {
  await admin.config('SET', 'appendfsync', 'everysec');
  await admin.config('SET', 'appendonly', appendonly);
  while (!/aof_rewrite_in_progress:0\r/.test(await admin.info('persistence'))) await new Promise((resolve) => setTimeout(resolve, 10));
}

export const queueAofBench: Bench = {
  name: 'queue-aof',
  about: 'queue-flow with the append-only file, appendfsync everysec, for both sides',
  rounds: { full: 5, short: 0 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 40_000 : 200_000;
    return [
      appended(queueFlow({ name: APPENDED, producer: 'queue-produce-engine', consumer: 'queue-consume-engine', messages })),
      appended(queueFlow({ name: LOOP, producer: 'queue-produce-pipeline', consumer: 'queue-consume-loop', messages })),
    ];
  },
  ratios: [
    { name: 'queue end to end, AOF everysec: over the hand-written loop', atLeast: 1, value: (round) => metric(round, APPENDED, 'messagesPerSecond') / metric(round, LOOP, 'messagesPerSecond') },
  ],
};
