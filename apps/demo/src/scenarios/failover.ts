import { consumerOf } from '../ledger/marks.js';
import type { Fault, Stage } from '../supervisor/stage.js';
import { say, seconds } from '../ui/lines.js';
import type { OrderScenario } from './scenario.js';

const WORK_WITHIN_MS = 15_000;
/** Left for the drain: the longest order and a bit. */
const DRAIN_MS = 5_000;

export const failover: OrderScenario = {
  name: 'failover',
  about: 'SIGKILLs one consumer mid-work, SIGSTOPs another past its deadline and wakes it, adds a fourth',
  defaults: () => ({ consumers: 3, rate: 3, seconds: 30 }),
  async play(stage) {
    await stage.untilPart(0.15);
    await killOne(stage, 'c1');
    await stage.untilPart(0.4);
    await freezeOne(stage, 'c2');
    await stage.untilPart(0.65);
    await addOne(stage, `c${stage.options.consumers + 1}`);
    await stage.pause(Math.max(0, (stage.options.seconds ?? 30) * 1_000 - DRAIN_MS - stage.elapsedMs));
  },
};

async function killOne(stage: Stage, name: string): Promise<void> {
  const working = await stage.until(() => stage.inWork(name).length > 0, WORK_WITHIN_MS);
  stage.promise(`${name} was killed in the middle of work`, working);
  await elsewhere(stage, stage.kill(name));
}

async function freezeOne(stage: Stage, name: string): Promise<void> {
  const { ttlMs } = stage.options;
  const working = await stage.until(() => stage.inWork(name).length > 0, WORK_WITHIN_MS);
  stage.promise(`${name} was stopped in the middle of work`, working);
  const before = await sessionOf(stage, name);
  const fault = stage.freeze(name);
  await elsewhere(stage, fault);
  // Past its deadline for certain, so that what it believes on waking is wrong.
  await stage.pause(Math.max(0, fault.at + ttlMs * 1.25 - Date.now()));
  stage.thaw(name);
  const back = await stage.until(async () => {
    const session = await sessionOf(stage, name);
    return session !== undefined && session !== before;
  }, ttlMs + 5_000);
  stage.promise(`${name}, woken, takes part again under a new incarnation`, back);
  const told = await stage.until(() => fault.streams.every((stream) => disowned(stage, stream, name)), ttlMs);
  stage.promise(`${name} was told of every stream it had lost (${fault.streams.length})`, told);
}

async function addOne(stage: Stage, name: string): Promise<void> {
  say('demo', 'adding', name, 'a newcomer gets its share of the work');
  await stage.startConsumer(name);
  const share = await stage.until(() => [...stage.accounts.runs()].some(({ run }) => consumerOf(run.owner) === name), WORK_WITHIN_MS);
  stage.promise(`${name} joined and was given work`, share);
}

/** Every stream the victim was working on runs somewhere else (or had been completed by the victim in its last moment). */
async function elsewhere(stage: Stage, fault: Fault): Promise<void> {
  const { consumer, kind, streams } = fault;
  const moved = (stream: string): boolean => stage.runsOf(stream).some((run) => run.state === 'accepted' || (consumerOf(run.owner) !== consumer && run.startedAt >= fault.at));
  const ok = await stage.until(() => streams.every(moved), stage.takeoverBoundMs);
  stage.promise(`the streams of ${consumer} (${streams.length}) ran elsewhere within ${seconds(stage.takeoverBoundMs)} of its ${kind}`, ok);
}

function disowned(stage: Stage, stream: string, name: string): boolean {
  return stage.runsOf(stream).filter((run) => consumerOf(run.owner) === name).some((run) => run.disowned || run.state === 'accepted' || run.state === 'refused');
}

async function sessionOf(stage: Stage, name: string): Promise<string | undefined> {
  return (await stage.stats())?.members.find((member) => member.live && consumerOf(member.session) === name)?.session;
}
