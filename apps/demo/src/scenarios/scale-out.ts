import { heldByConsumer } from '../supervisor/table.js';
import type { Stage } from '../supervisor/stage.js';
import { say, seconds } from '../ui/lines.js';
import type { OrderScenario } from './scenario.js';

const WITHIN_MS = 5_000;

export const scaleOut: OrderScenario = {
  name: 'scale-out',
  about: 'doubles the consumers under load; the old ones hand streams in work to the new ones',
  defaults: () => ({ consumers: 3, rate: 10, speed: 0.5, seconds: 30, handOver: true, quiet: true }),
  async play(stage) {
    const before = stage.options.consumers;
    await stage.untilPart(0.35);
    say('demo', 'adding', `${before} consumers`, `to the ${before} there are, which hold ${await holdings(stage)}`);
    const names = Array.from({ length: before }, (_, i) => `c${before + i + 1}`);
    await Promise.all(names.map((name) => stage.startConsumer(name)));
    const joinedAt = Date.now();
    const even = await stage.until(() => isEven(stage, before * 2), stage.soon(WITHIN_MS));
    const text = await holdings(stage);
    say('demo', 'shares', '', `after ${seconds(Date.now() - joinedAt)}: ${text}`);
    stage.promise(`within ${seconds(stage.soon(WITHIN_MS))} of joining, each of ${before * 2} consumers held its share (${text})`, even);
    await stage.untilPart(0.8);
  },
};

/** Equal shares, give or take 20 % or two streams: orders end and arrive while we look. */
async function isEven(stage: Stage, consumers: number): Promise<boolean> {
  const held = [...heldByConsumer(await stage.stats()).values()];
  const share = held.reduce((sum, n) => sum + n, 0) / consumers;
  return held.length === consumers && share >= 1 && held.every((n) => Math.abs(n - share) <= Math.max(2, share * 0.2));
}

async function holdings(stage: Stage): Promise<string> {
  const held = [...heldByConsumer(await stage.stats())].toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  return held.map(([name, n]) => `${name} ${n}`).join(', ');
}
