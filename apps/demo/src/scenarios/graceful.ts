import { consumerOf } from '../ledger/marks.js';
import type { Stage } from '../supervisor/stage.js';
import { say, seconds } from '../ui/lines.js';
import type { OrderScenario } from './scenario.js';

const EXIT_WITHIN_MS = 8_000;
const CONTINUED_WITHIN_MS = 1_000;

export const graceful: OrderScenario = {
  name: 'graceful',
  about: 'a rolling restart: each consumer in turn gets a SIGTERM mid-work and is replaced by one of its name',
  defaults: () => ({ consumers: 3, rate: 3, seconds: 30 }),
  async play(stage) {
    const { consumers, seconds: total = 30 } = stage.options;
    for (let i = 1; i <= consumers; i++) {
      await stage.untilPart((0.7 * i) / (consumers + 1));
      await restart(stage, `c${i}`);
    }
    await stage.pause(Math.max(0, total * 1_000 - 5_000 - stage.elapsedMs));
    // A stream that reached a consumer in its very last moment was never begun there; peers find it at their next look.
    const taken = [...stage.accounts.runs()].filter(({ account, run }) => run.recovered && [...account.runs.values()].some(({ owner }) => owner === run.from));
    stage.promise('no stream in work had to wait for a deadline: all were handed on', taken.length === 0);
  },
};

async function restart(stage: Stage, name: string): Promise<void> {
  const working = await stage.until(() => stage.inWork(name).length > 0, 15_000);
  stage.promise(`${name} was stopped in the middle of work`, working);
  const streams = stage.inWork(name);
  const at = Date.now();
  say('demo', 'stopping', name, `SIGTERM while it works on ${streams.join(', ')}`);
  stage.states.set(name, 'stopping');
  const { code, signal } = await Promise.race([stage.cast.get(name).stop(), stage.pause(EXIT_WITHIN_MS).then(() => ({ code: null, signal: 'nothing' }))]);
  stage.promise(`${name} ended by itself with exit code 0 in ${seconds(Date.now() - at)}`, code === 0 && signal === null);
  const continued = (stream: string): boolean => stage.runsOf(stream).some((run) => run.state === 'accepted' || (consumerOf(run.owner) !== name && run.startedAt >= at));
  const ok = await stage.until(() => streams.every(continued), stage.soon(CONTINUED_WITHIN_MS));
  stage.promise(`what ${name} was working on (${streams.length}) went on at its peers or was finished`, ok);
  await stage.startConsumer(name);
}
