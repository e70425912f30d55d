import { say } from '../ui/lines.js';
import type { OrderScenario } from './scenario.js';

export const highLoad: OrderScenario = {
  name: 'high-load',
  about: 'many short orders a second, told by tables instead of lines',
  defaults: (server) => ({ consumers: 4, rate: server === 'embedded' ? 20 : 200, speed: 20, seconds: 20, quiet: true }),
  async play(stage) {
    const { rate, seconds = 20 } = stage.options;
    const startedAt = Date.now();
    await stage.untilPart(0.9);
    const announced = stage.accounts.byEntry.size;
    const asked = (rate * (Date.now() - startedAt)) / 1_000;
    say('demo', 'announced', `${announced} streams`, `in ${seconds} s, ${Math.round(asked)} asked for`);
    stage.promise(`the producer kept up: ${announced} of ${Math.round(asked)} streams announced`, announced >= asked * 0.9);
    const { undelivered = 0, free = 0 } = (await stage.stats()) ?? {};
    stage.promise(`the consumers kept up: ${undelivered + free} streams waited for an owner at the end`, undelivered + free <= rate);
  },
};
