import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Contender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import { joinRooms } from './fanout-rooms.js';

/** Short, so that a window sees many heartbeats. */
const TTL_MS = 600;
/** Joined before the first look at memory, so that code and buffers are there already. */
const WARM_UP = 1_000;
const MOST_BYTES = 4_096;
/** Sends that wait for their acknowledgement at once. */
const AT_ONCE = 500;
const FEW = 'in 10 rooms';
const MANY = 'in thousands of rooms';

function contender(name: string, rooms: number, windowMs: number): Contender {
  return {
    name,
    round: async (stage) => {
      const worker = await stage.spawn('fanout-idle', { ttlMs: TTL_MS });
      const look = async (): Promise<{ heap: number; server: number }> => {
        const reply = worker.next('memory');
        worker.send({ type: 'memory' });
        const { heap } = await reply;
        return { heap: Number(heap), server: (await readCounters(stage.admin)).usedMemoryBytes };
      };
      const sender = new RedisStreamsEngine({ connection: { url: stage.redis.url } });
      stage.after(() => sender.stop());
      /** Rooms that have shown two messages, as rooms do. */
      const use = async (from: number, to: number): Promise<void> => {
        await joinRooms(worker, from, to);
        for (let room = from; room < to; room += AT_ONCE) {
          const some = Array.from({ length: Math.min(AT_ONCE, to - room) }, (_, i) => `idle-${room + i}`);
          for (let n = 0; n < 2; n++) await Promise.all(some.map((each) => sender.fanout().send(each, { n }, { await: 'acked' })));
        }
      };
      const first = Math.min(rooms, WARM_UP);
      await use(0, first);
      const empty = await look();
      if (rooms > first) await use(first, rooms);
      await sender.stop();
      const full = await look();
      await sleep(TTL_MS);
      const before = await readCounters(stage.admin);
      const start = performance.now();
      await sleep(windowMs);
      const after = await readCounters(stage.admin);
      const seconds = (performance.now() - start) / 1_000;
      return {
        rooms,
        commandsPerSecond: (after.commands - before.commands) / seconds,
        serverCpuMsPerSecond: (after.cpuMs - before.cpuMs) / seconds,
        ...(rooms > first && { heapBytesPerRoom: (full.heap - empty.heap) / (rooms - first), serverBytesPerRoom: (full.server - empty.server) / (rooms - first) }),
      };
    },
  };
}

export const fanoutIdleBench: Bench = {
  name: 'fanout-idle',
  about: `one process in idle rooms that have shown two messages, session ttl ${TTL_MS} ms: server commands (those inside scripts included), and memory per room after garbage collection`,
  rounds: { full: 3, short: 1 },
  headline: 'commandsPerSecond',
  contenders: (short) => {
    const windowMs = short ? 1_000 : 12_000;
    return [contender(FEW, 10, windowMs), contender(MANY, short ? 3_000 : 10_000 + WARM_UP, windowMs)];
  },
  ratios: [
    // What falls between two heartbeats at the window's edges is all that may differ.
    { name: 'fanout-idle: commands/s in thousands of rooms over 10', atMost: 1.05, value: (round) => metric(round, MANY, 'commandsPerSecond') / metric(round, FEW, 'commandsPerSecond') },
    { name: 'fanout-idle: heap of the process and memory of the server per room, over the stated 4,096 B', atMost: 1, value: (round) => (metric(round, MANY, 'heapBytesPerRoom') + metric(round, MANY, 'serverBytesPerRoom')) / MOST_BYTES },
  ],
};
