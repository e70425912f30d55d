import type { PartitionClient, SentMessage } from './engine.js';
import { messages } from './handlers.js';
import type { World } from './world.js';

export interface Load {
  /** What was stored so far. */
  readonly sent: SentMessage[];
  /** Ends it; what it met rejects here. */
  stop(): Promise<void>;
}

/** Sends small batches over so many keys, one after the other, until it is stopped or the test ends. */
export function startLoad(world: Pick<World, 'onEnd'>, client: PartitionClient, stream: string, { keys, batch = 20, everyMs = 5 }: { keys: number; batch?: number; everyMs?: number }): Load {
  const sent: SentMessage[] = [];
  let busy = true;
  const running = (async () => {
    for (let i = 0; busy; i++) {
      sent.push(...await client.sendMany(stream, messages(batch, keys, i * batch)));
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  })();
  // Of a test that failed elsewhere, nobody asks.
  running.catch(() => undefined);
  world.onEnd(() => { busy = false; });
  return {
    sent,
    stop: () => {
      busy = false;
      return running;
    },
  };
}
