import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { onTopologies } from './support/world.js';

const ROOMS = 300;
const CHARACTERS = 100_000;
const MOST_PER_ROOM = 4_096;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

onTopologies(['standalone'], 'a room that is silent', (world) => {
  it('keeps nothing of the last message it has shown', async () => {
    const [listener, sender] = world().peers(2);
    let seen = 0;
    const rooms = Array.from({ length: ROOMS }, () => world().room());
    await Promise.all(rooms.map((room, i) => listener!.rooms.join(room, () => void seen++, { sync: i % 2 === 0 })));
    await Promise.all(rooms.filter((_, i) => i % 2 === 1).map((room) => sender!.rooms.join(room, () => undefined)));
    const before = heap();
    for (const [i, room] of rooms.entries()) await sender!.rooms.send(room, 'x'.repeat(CHARACTERS) + i);
    await waitUntil(() => seen === ROOMS, { what: 'all are seen' });
    await Promise.all(rooms.map((room) => sender!.idle(room)));
    await waitUntil(() => (heap() - before) / ROOMS < MOST_PER_ROOM, { what: `less than ${MOST_PER_ROOM} bytes a room are kept`, timeoutMs: 10_000 })
      .catch(() => expect((heap() - before) / ROOMS).toBeLessThan(MOST_PER_ROOM));
  });
});
