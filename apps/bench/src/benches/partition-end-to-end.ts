import { metric, type Bench, type StandingContender } from '../model.js';
import { flowContender, type FlowOptions } from './partition-flow.js';

const ENGINE = 'PartitionProducer -> message handler';
const LOOP = 'ioredis loop: XADD, XREADGROUP, XACK + XDEL, one stream';
const CURSOR = 'ioredis loop over 16: XREAD, position per batch';
const GROUP = 'ioredis loop over 16: XREADGROUP, XACK + XDEL';

const SIDES = [
  { name: ENGINE, producer: 'produce-send', consumer: 'consume-engine' },
  { name: LOOP, producer: 'produce-pipeline-1', consumer: 'consume-group-1' },
  { name: CURSOR, producer: 'produce-pipeline-16', consumer: 'consume-cursor-16' },
  { name: GROUP, producer: 'produce-pipeline-16', consumer: 'consume-group-16' },
  { name: 'PartitionProducer -> batch handler', producer: 'produce-send', consumer: 'consume-engine-batch' },
];

function contenders(mode: FlowOptions['mode'], short: boolean): StandingContender[] {
  return SIDES.map((side) => flowContender({ ...side, mode, messages: short ? 40_000 : 80_000 }, short));
}

const over = (other: string, name: string) => (round: Parameters<typeof metric>[0]): number => metric(round, ENGINE, name) / metric(round, other, name);

export const partitionEndToEndBench: Bench = {
  name: 'partition-flow',
  about: 'messages per second from one producer process to one consumer process while both run: 16 partitions, order kept, all committed',
  rounds: { full: 15, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => contenders('live', short),
  ratios: [
    { name: 'partition end to end: over the hand-written loop', atLeast: 1.7, value: over(LOOP, 'messagesPerSecond') },
    { name: 'partition end to end: server CPU per message over the hand-written loop', atMost: 0.55, value: over(LOOP, 'serverCpuUsPerMessage') },
    // The floor: nothing but XADD and XREAD, and a position now and then.
    { name: 'partition end to end: server CPU per message of the XREAD loop over the hand-written loop', value: (round) => metric(round, CURSOR, 'serverCpuUsPerMessage') / metric(round, LOOP, 'serverCpuUsPerMessage') },
    { name: 'partition end to end: CPU per message of all three processes over the hand-written loop', value: over(LOOP, 'cpuUsPerMessage') },
    { name: 'partition end to end: over the XREAD loop over 16', value: over(CURSOR, 'messagesPerSecond') },
    { name: 'partition end to end: over the XREADGROUP loop over 16', value: over(GROUP, 'messagesPerSecond') },
  ],
};

export const partitionBacklogBench: Bench = {
  name: 'partition-backlog',
  about: 'messages per second by one consumer process from a backlog in 16 partitions: order kept, all committed',
  rounds: { full: 15, short: 1 },
  headline: 'messagesPerSecond',
  contenders: (short) => contenders('backlog', short),
  ratios: [
    { name: 'partition backlog: over the hand-written loop', value: over(LOOP, 'messagesPerSecond') },
    { name: 'partition backlog: server CPU per message over the hand-written loop', value: over(LOOP, 'serverCpuUsPerMessage') },
    { name: 'partition backlog: over the XREAD loop over 16', value: over(CURSOR, 'messagesPerSecond') },
    { name: 'partition backlog: over the XREADGROUP loop over 16', value: over(GROUP, 'messagesPerSecond') },
  ],
};
