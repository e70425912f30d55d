import { consumerOf } from '../ledger/marks.js';
import type { Stage } from '../supervisor/stage.js';
import { say } from '../ui/lines.js';
import type { OrderScenario } from './scenario.js';

const EACH = 30;

export const balance: OrderScenario = {
  name: 'balance',
  about: 'announces bursts and checks that each spreads evenly over the consumers',
  defaults: () => ({ consumers: 3, rate: 0, seconds: 30, quiet: true }),
  async play(stage) {
    const end = stage.startedAt + (stage.options.seconds ?? 30) * 1_000 - 5_000;
    for (let burst = 1; burst === 1 || Date.now() < end; burst++) await oneBurst(stage, burst);
  },
};

async function oneBurst(stage: Stage, burst: number): Promise<void> {
  const { byEntry } = stage.accounts;
  const size = EACH * stage.options.consumers;
  const before = new Set(byEntry.keys());
  say('demo', 'burst', `${size} streams`, 'announced at once');
  stage.produce(size);
  const ours = (): Array<readonly [string, string]> => [...byEntry.values()].filter(({ entry, runs }) => !before.has(entry) && runs.size > 0)
    .map(({ entry, runs }) => [entry, consumerOf([...runs.values()].reduce((a, b) => (a.token < b.token ? a : b)).owner)] as const);
  const assigned = await stage.until(() => ours().length >= size, 10_000);
  const shares = new Map(stage.cast.consumers().map(({ name }) => [name, 0]));
  for (const [, name] of ours()) shares.set(name, (shares.get(name) ?? 0) + 1);
  const text = [...shares].map(([name, n]) => `${name} ${n}`).join(', ');
  const even = [...shares.values()].every((n) => Math.abs(n - EACH) <= EACH * 0.1);
  say('demo', 'shares', `burst ${burst}`, text);
  stage.promise(`burst ${burst}: each consumer got ${EACH} of ${size} streams, give or take 10 % (${text})`, assigned && even);
  const open = (): boolean => ours().some(([entry]) => ![...(byEntry.get(entry)?.runs.values() ?? [])].some((run) => run.state === 'accepted'));
  await stage.until(() => !open(), 20_000 / stage.options.speed);
}
