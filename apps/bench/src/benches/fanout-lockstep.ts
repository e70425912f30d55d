import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Metrics, type Stage, type StandingContender } from '../model.js';
import { payment } from '../payload.js';
import { readCounters } from '../support/server-counters.js';
import type { Worker } from '../support/worker.js';
import { GATE, roomName, waitingKey, type LockstepOptions } from '../workers/fanout-lockstep.js';

/** Sends that wait for Redis at once. */
const WAITING = 10_000;

interface Shape {
  readonly rooms: number;
  readonly members: number;
  /** In each room. */
  readonly messages: number;
}

type Side = 'fanout' | 'script';

const label = ({ rooms, members }: Omit<Shape, 'messages'>): string => `${rooms} room${rooms === 1 ? '' : 's'} x ${members}`;
const nameOf = (side: Side, shape: Omit<Shape, 'messages'>): string => `${label(shape)}: ${side === 'fanout' ? 'room handler' : 'script + publish'}`;

type Fill = () => Promise<unknown>;

/** Rooms of the engine: everything waits behind a message that one process holds. */
function fill({ redis, after }: Stage, { rooms, messages }: Shape): Fill {
  const engine = new RedisStreamsEngine({ connection: { url: redis.url }, fanout: { maxBacklog: 1_000_000 } });
  after(() => engine.stop());
  const all = Array.from({ length: rooms }, (_, room) => roomName(room));
  return async () => {
    await Promise.all(all.map((room) => engine.fanout().send(room, GATE)));
    const sends: Promise<unknown>[] = [];
    for (let i = 0; i < messages; i++) {
      for (const room of all) sends.push(engine.fanout().send(room, payment(i)));
      if (sends.length >= WAITING) await Promise.all(sends.splice(0));
    }
    await Promise.all(sends);
  };
}

function fillScript({ admin }: Stage, { rooms, messages }: Shape): Fill {
  const texts = Array.from({ length: messages }, (_, i) => JSON.stringify(payment(i)));
  return async () => {
    for (let room = 0; room < rooms; room++) {
      for (let i = 0; i < messages; i += 1_000) await admin.rpush(waitingKey(roomName(room)), ...texts.slice(i, i + 1_000));
      await admin.publish(roomName(room), JSON.stringify(GATE));
    }
  };
}

/** Bursts before the first that counts. */
const WARM_UP = 3;

function contender(side: Side, shape: Shape): StandingContender {
  return {
    name: nameOf(side, shape),
    stand: async (stage) => {
      const total = shape.rooms * shape.messages;
      const warm = Math.ceil(total / 10);
      const options = (i: number): LockstepOptions => ({ rooms: shape.rooms, members: shape.members, messages: total, warm, keeper: i === 0 });
      const workers = await Promise.all(Array.from({ length: shape.members }, (_, i) => stage.spawn(side === 'fanout' ? 'fanout-engine' : 'fanout-raw', { ...options(i) })));
      const refill = (side === 'fanout' ? fill : fillScript)(stage, shape);
      const burst = async (): Promise<Metrics> => {
        const begun = Promise.all(workers.map((worker) => worker.next('begun')));
        for (const worker of workers) worker.send({ type: 'begin' });
        await begun;
        await refill();
        return run(stage, workers, total, warm);
      };
      for (let i = 0; i < WARM_UP; i++) await burst();
      return burst;
    },
  };
}

async function run(stage: Stage, workers: readonly Worker[], total: number, warm: number): Promise<Metrics> {
  const before = await readCounters(stage.admin);
  const stepped = Promise.all(workers.map((worker) => worker.next('stepped')));
  workers[0]!.send({ type: 'go' });
  const all = await stepped;
  const after = await readCounters(stage.admin);
  const ms = Math.max(...all.map(({ endAt }) => Number(endAt))) - Math.max(...all.map(({ warmAt }) => Number(warmAt)));
  return {
    messagesPerSecond: ((total - warm) / ms) * 1_000,
    serverCpuUsPerMessage: ((after.cpuMs - before.cpuMs) * 1_000) / total,
    processCpuUsPerAck: all.reduce((sum, { cpuUs }) => sum + Number(cpuUs), 0) / (total - warm) / all.length,
    commandsPerMessage: (after.commands - before.commands) / total,
  };
}

type Measured = Shape & { readonly short: number; readonly atLeast?: number };

function shaped({ shapes, ...bench }: Pick<Bench, 'name' | 'about' | 'rounds'> & { readonly shapes: readonly Measured[] }): Bench {
  return {
    ...bench,
    headline: 'messagesPerSecond',
    contenders: (short) => shapes.flatMap((shape) => (['fanout', 'script'] as const).map((side) => contender(side, short ? { ...shape, messages: shape.short } : shape))),
    ratios: shapes.map((shape) => ({
      name: `${bench.name}: ${label(shape)} over script + publish`,
      ...(shape.atLeast !== undefined && { atLeast: shape.atLeast }),
      value: (round) => metric(round, nameOf('fanout', shape), 'messagesPerSecond') / metric(round, nameOf('script', shape), 'messagesPerSecond'),
    })),
  };
}

export const fanoutLockstepBench = shaped({
  name: 'fanout-lockstep',
  about: 'messages per second of rooms from a backlog: each is shown when all processes have acknowledged the one before',
  rounds: { full: 21, short: 1 },
  shapes: [
    { rooms: 1, members: 3, messages: 3_000, short: 1_000, atLeast: 0.9 },
    { rooms: 100, members: 3, messages: 80, short: 20 },
  ],
});

export const fanoutProcessesBench = shaped({
  name: 'fanout-processes',
  about: 'as fanout-lockstep, one room, with one process and with ten',
  rounds: { full: 15, short: 0 },
  shapes: [
    { rooms: 1, members: 1, messages: 3_000, short: 1_000 },
    { rooms: 1, members: 10, messages: 600, short: 200 },
  ],
});
