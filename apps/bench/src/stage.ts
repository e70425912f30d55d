import { Redis } from 'ioredis';
import type { Stage } from './model.js';
import type { PrivateRedis } from './support/redis.js';
import { startWorker, type Worker } from './support/worker.js';

export interface OpenStage {
  readonly stage: Stage;
  /** Ends the processes, then closes what the bench opened. */
  end(): Promise<void>;
}

export function openStage(redis: PrivateRedis): OpenStage {
  const admin = new Redis(redis.url);
  const workers: Worker[] = [];
  const closes: Array<() => Promise<unknown>> = [];
  return {
    stage: {
      redis,
      admin,
      spawn: async (role, options = {}) => {
        const worker = await startWorker(role, redis.url, options);
        workers.push(worker);
        return worker;
      },
      after: (close) => void closes.push(close),
    },
    end: async () => {
      await Promise.all(workers.map((worker) => worker.kill()));
      for (const close of closes) await close();
      admin.disconnect();
    },
  };
}
