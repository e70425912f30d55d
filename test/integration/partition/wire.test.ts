import { expect, it } from 'vitest';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'wire format', (world) => {
  it('smoke', async () => {
    const stream = await world().stream(6);
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    const sent = await world().client.sendMany(stream, messages(100, 10));
    await caughtUp(world(), stream, 6);
    expect(runs.distinct).toBe(100);
    const kept = (await Promise.all([0, 1, 2, 3, 4, 5].map((p) => entriesOf(world(), stream, p)))).flat();
    expect(sent).toHaveLength(100);
    expect(kept.length).toBeLessThanOrEqual(100);
  });
});
