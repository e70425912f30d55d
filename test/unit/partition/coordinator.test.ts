import { describe, expect, it, vi } from 'vitest';
import { Coordinator, type CoordinatorHost } from '../../../libs/redis-streams/dist/partition/coordinator.js';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';
import type { GroupStore } from '../../../libs/redis-streams/dist/partition/group-store.js';

describe('Coordinator', () => {
  it('that was asked to look while it had no session looks when it has one again', async () => {
    const looks: string[] = [];
    const store = {
      stream: 's', group: 'g', partitions: 1,
      sync: async (session: string) => {
        looks.push(session);
        return { planned: '0', revision: '0', due: '', paused: new Set(), nextAwayMs: -1, changed: false, version: '0.0', rows: [] };
      },
    } as unknown as GroupStore;
    let session: { id: string; member: string } | undefined;
    const nothing = (): void => undefined;
    const host: CoordinatorHost = { session: () => session, held: () => [], granted: nothing, revoke: nothing, gone: nothing, paused: nothing, refused: nothing, trouble: nothing };
    const coordinator = new Coordinator(store, new RedisStreamsEvents(), host);
    coordinator.release(0, 1); // a partition whose hand-over ends after the session it was of
    await new Promise((resolve) => setImmediate(resolve));
    session = { id: 'm:2', member: 'm' };
    coordinator.reset();
    coordinator.sync();
    await vi.waitFor(() => expect(looks).toEqual(['m:2']));
    await coordinator.stop();
  });
});
