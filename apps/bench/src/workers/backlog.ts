import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { sharedNow } from '../support/clock.js';
import type { Message } from '../support/worker.js';
import type { Role } from './role.js';

/** Tells the bench how far this process is, a few times a frame, so that telling costs nothing. */
export class Tally {
  private count = 0;
  private told = 0;
  private lastAt = 0;
  private cpu = process.cpuUsage();

  constructor(private readonly tell: (message: Message) => void) {
    setInterval(() => this.report(), 20);
  }

  add(n = 1): void {
    this.count += n;
    this.lastAt = sharedNow();
  }

  reset(): void {
    this.count = this.told = 0;
    this.cpu = process.cpuUsage();
  }

  private report(): void {
    if (this.count === this.told) return;
    this.told = this.count;
    const { user, system } = process.cpuUsage(this.cpu);
    this.tell({ type: 'progress', count: this.count, lastAt: this.lastAt, cpuUs: user + system });
  }
}

/** Consumes one service after the other, as told: each with an engine of its own in a process that stays warm. */
const engine: Role = async ({ url, tell }) => {
  const tally = new Tally(tell);
  let current: RedisStreamsEngine | undefined;
  return async (message) => {
    await current?.stop();
    tally.reset();
    if (message.type !== 'consume') return tell({ type: 'stopped' });
    current = new RedisStreamsEngine({ connection: { url } });
    current.events.on('lease.completed', () => tally.add());
    current.addLeaseConsumer({ service: String(message['service']) }, { assigned: async () => undefined });
    await current.start();
  };
};

/** The loop people write by hand: read, handle, acknowledge, delete. No fencing, no takeover, no retries. */
function handWritten(acknowledge: (redis: Redis, lbs: string, group: string, ids: readonly string[]) => Promise<unknown>): Role {
  return async ({ url, tell, options }) => {
    const redis = new Redis(url);
    const tally = new Tally(tell);
    const name = `worker-${process.pid}`;
    let generation = 0;
    return async (message) => {
      const mine = ++generation;
      tally.reset();
      if (message.type !== 'consume') return tell({ type: 'stopped' });
      const service = String(message['service']);
      const lbs = `${service}-input`;
      const group = `${service}-group`;
      const handler = async (_info: unknown): Promise<void> => undefined;
      void (async () => {
        while (generation === mine) {
          const reply = (await redis.xreadgroup('GROUP', group, name, 'COUNT', Number(options['batch'] ?? 200), 'BLOCK', 100, 'STREAMS', lbs, '>')) as [string, [string, string[]][]][] | null;
          const entries = reply?.[0]?.[1] ?? [];
          if (entries.length === 0) continue;
          await Promise.all(entries.map(([, fields]) => handler((JSON.parse(fields[1]!) as { Info: unknown }).Info)));
          await acknowledge(redis, lbs, group, entries.map(([id]) => id));
          tally.add(entries.length);
        }
      })();
    };
  };
}

export const backlogRoles: Readonly<Record<string, Role>> = {
  'backlog-engine': engine,
  'backlog-batch': handWritten((redis, lbs, group, ids) => redis.pipeline().xack(lbs, group, ...ids).xdel(lbs, ...ids).exec()),
  'backlog-each': handWritten((redis, lbs, group, ids) => Promise.all(ids.flatMap((id) => [redis.xack(lbs, group, id), redis.xdel(lbs, id)]))),
};
