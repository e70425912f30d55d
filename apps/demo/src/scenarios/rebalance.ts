import type { PaymentStage } from '../payments/payment-stage.js';
import { say, seconds } from '../ui/lines.js';
import type { PaymentScenario } from './scenario.js';

const FEWEST = 3;
const EXIT_WITHIN_MS = 8_000;
const WORK_WITHIN_MS = 15_000;

export const rebalance: PaymentScenario = {
  kind: 'payments',
  name: 'rebalance',
  about: 'payments per account over 12 partitions: SIGKILLs, stops, freezes and adds workers, and shows who owns what',
  defaults: (server) => ({ consumers: 3, rate: server === 'embedded' ? 40 : 150, seconds: 20, quiet: true }),
  async play(stage) {
    const { consumers } = stage.options;
    if (consumers < FEWEST) throw new Error(`the scenario rebalance needs --consumers ${FEWEST} or more (got ${consumers})`);
    await stage.untilPart(0.08);
    await killOne(stage, 'w1');
    await stage.untilPart(0.25);
    await addOne(stage, `w${consumers + 1}`);
    await stage.untilPart(0.35);
    await stopOne(stage, 'w2');
    await stage.untilPart(0.45);
    await addOne(stage, `w${consumers + 2}`);
    await stage.untilPart(0.55);
    await freezeOne(stage, 'w3');
    await stage.untilPart(0.9);
  },
};

async function killOne(stage: PaymentStage, name: string): Promise<void> {
  await inWork(stage, name);
  const at = Date.now();
  await elsewhere(stage, name, 'SIGKILL', stage.kill(name), at);
}

async function addOne(stage: PaymentStage, name: string): Promise<void> {
  say('demo', 'adding', name, 'a newcomer gets its share of the partitions; the others go on');
  const at = Date.now();
  await stage.startWorker(name);
  const even = await stage.until(() => stage.isEven(), stage.takeoverBoundMs);
  stage.promise(`${name} joined and got its share (${stage.owned(name).length})`, even);
  onlyMoved(stage, at, `${name} joined`, (_, to) => to === name);
}

async function stopOne(stage: PaymentStage, name: string): Promise<void> {
  await inWork(stage, name);
  const partitions = stage.owned(name), at = Date.now();
  say('demo', 'stopping', name, `SIGTERM while it owns ${partitions.join(' ')}`);
  stage.states.set(name, 'stopping');
  const { code, signal } = await Promise.race([stage.cast.get(name).stop(), stage.pause(EXIT_WITHIN_MS).then(() => ({ code: null, signal: 'nothing' }))]);
  stage.promise(`${name} ended by itself with exit code 0 in ${seconds(Date.now() - at)}`, code === 0 && signal === null);
  stage.states.set(name, 'ended');
  const taken = await stage.until(() => stage.isEven(), stage.handOverBoundMs);
  stage.promise(`what ${name} handed over (${partitions.length}) was taken at once, without waiting for a deadline`, taken);
  onlyMoved(stage, at, `${name} stopped`, (from) => from === name);
}

async function freezeOne(stage: PaymentStage, name: string): Promise<void> {
  const { ttlMs } = stage.options;
  await inWork(stage, name);
  const at = Date.now();
  const partitions = stage.freeze(name);
  await elsewhere(stage, name, 'SIGSTOP', partitions, at);
  // Past its deadline for certain, so that what it believes on waking is wrong.
  await stage.pause(Math.max(0, at + ttlMs * 1.25 - Date.now()));
  const wokenAt = Date.now();
  stage.thaw(name);
  const told = await stage.until(() => partitions.every((partition) => stage.journal.grants[partition]?.findLast(({ worker, at: since }) => worker === name && since < at)?.ended === 'lost'), ttlMs);
  stage.promise(`${name}, woken, was told of every partition it had lost (${partitions.length})`, told);
  const back = await stage.until(() => stage.isEven(), stage.takeoverBoundMs);
  stage.promise(`${name} takes part again with its share (${stage.owned(name).length})`, back);
  onlyMoved(stage, wokenAt, `${name} came back`, (_, to) => to === name);
}

async function inWork(stage: PaymentStage, name: string): Promise<void> {
  const before = stage.bookedBy(name);
  const working = await stage.until(() => stage.bookedBy(name) > before && stage.owned(name).length > 0, WORK_WITHIN_MS);
  stage.promise(`${name} was booking payments when its turn came`, working);
}

/** All that the victim owned is owned by others in time, and nothing else moved. */
async function elsewhere(stage: PaymentStage, name: string, kind: string, partitions: readonly number[], at: number): Promise<void> {
  const taken = (partition: number): boolean => stage.movedSince(at).some((move) => move.partition === partition);
  const ok = await stage.until(() => partitions.every(taken), stage.takeoverBoundMs);
  stage.promise(`the partitions of ${name} (${partitions.length}) were taken over within ${seconds(stage.takeoverBoundMs)} of its ${kind}`, ok);
  onlyMoved(stage, at, `${name} was gone`, (from) => from === name);
}

function onlyMoved(stage: PaymentStage, at: number, when: string, allowed: (from: string, to: string) => boolean): void {
  const others = stage.movedSince(at).filter(({ from, to }) => !allowed(from, to));
  stage.promise(`when ${when}, no partition moved that did not have to${others.length === 0 ? '' : ` (${others.map(({ partition, from, to }) => `${partition} from ${from} to ${to}`).join(', ')})`}`, others.length === 0);
}
