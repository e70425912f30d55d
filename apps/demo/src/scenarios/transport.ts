import type { ShopStage } from '../shop/shop-stage.js';
import { say, seconds } from '../ui/lines.js';
import type { ShopScenario } from './scenario.js';

const SOON_MS = 3_000;

export const transport: ShopScenario = {
  kind: 'shop',
  name: 'transport',
  about: 'events and requests between Nest applications: two APIs, two instances of an order service, one of mailing; an instance killed and replaced, one stopped',
  defaults: (server) => ({ rate: server === 'embedded' ? 20 : 100, ttlMs: 1_500, seconds: 20, quiet: true }),
  async play(stage) {
    await stage.untilPart(0.25);
    await killOne(stage, 'o1', 'o3');
    await stage.untilPart(0.65);
    await stopOne(stage, 'o2', 'o3');
    await stage.untilPart(0.95);
    await stage.shoppers.stop();
  },
};

async function killOne(stage: ShopStage, name: string, successor: string): Promise<void> {
  const working = await stage.until(() => stage.handledBy(name) > 0, stage.soon(SOON_MS));
  const before = stage.shoppers.placed.size;
  stage.kill(name);
  const at = Date.now();
  say('demo', 'adding', successor, 'in its place');
  await stage.startService(successor, 'orders');
  const upAt = Date.now();
  const placed = [...stage.shoppers.placed].slice(0, before);
  const caughtUp = await stage.until(() => placed.every((id) => stage.audit.has('orders', id)), stage.takeoverBoundMs);
  stage.promise(`${name} was handling events when its turn came, and all that had been placed by then (${before}) was handled ${seconds(Date.now() - at)} after its SIGKILL, ${seconds(Date.now() - upAt)} after ${successor} was up (at most ${seconds(stage.takeoverBoundMs)})`, working && caughtUp);
}

async function stopOne(stage: ShopStage, name: string, other: string): Promise<void> {
  const { clean, ms } = await stage.stopService(name);
  const before = stage.handledBy(other);
  const goesOn = await stage.until(() => stage.handledBy(other) > before, stage.soon(SOON_MS));
  stage.promise(`${name}, asked to stop by SIGTERM, ended with exit code 0 after ${seconds(ms)}, and ${other} went on`, clean && goesOn);
}
