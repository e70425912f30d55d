import { expect, it, vi } from 'vitest';
import type { RedisStreamsEngine } from '../../../libs/redis-streams/src/engine.js';
import { EventSender } from '../../../libs/redis-streams/src/transport/event-sender.js';
import { resolveTransport } from '../../../libs/redis-streams/src/transport/options.js';

it('forgets patterns that nobody handled a while ago', async () => {
  const engine = {
    events: { emit: () => undefined },
    partsOf: () => ({ registry: { find: async () => undefined }, queueRegistry: { find: async () => undefined } }),
    queues: () => ({ register: async () => undefined, queue: () => ({ send: async () => 'id' }) }),
  } as unknown as RedisStreamsEngine;
  const sender = new EventSender(engine, resolveTransport());
  const { unknownUntil } = sender as unknown as { unknownUntil: Map<string, number> };
  const send = (pattern: string): Promise<unknown> => sender.send(pattern, { data: {} as never, headers: undefined, key: undefined, id: undefined, delayMs: undefined });
  for (let i = 0; i < 50; i++) await send(`user.${i}`);
  expect(unknownUntil.size).toBe(50);
  const now = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 5_000);
  await send('user.50');
  expect([...unknownUntil.keys()]).toEqual(['user.50']);
  now.mockRestore();
});
