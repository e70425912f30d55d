import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage, StandingContender } from '../model.js';
import { percentile } from './stats.js';

/** One right after the other: V8 has compiled what a process that lives for more than seconds has compiled. */
const WARM_UP = 6_000;
/** Of each burst: the processor was another contender's. */
const UNCOUNTED = 10;

export interface IdleLatency {
  readonly name: string;
  /** Role of the process that tells `handled`, with the milliseconds since what is in the message. */
  readonly role: string;
  /** Answers what sends the message of a number. */
  open(stage: Stage): (i: number) => Promise<unknown>;
}

/** One message at a time, each after the last was handled and a few milliseconds have passed. */
export function idleLatency({ name, role, open }: IdleLatency, short: boolean): StandingContender {
  return {
    name,
    stand: async (stage) => {
      const consumer = await stage.spawn(role);
      const send = open(stage);
      let sent = 0;
      const measure = async (count: number, idle: () => Promise<unknown>): Promise<number[]> => {
        const values: number[] = [];
        for (let i = 0; i < count; i++) {
          const handled = consumer.next('handled');
          await send(sent++);
          values.push(Number((await handled)['ms']));
          await idle();
        }
        return values;
      };
      await measure(short ? UNCOUNTED : WARM_UP, async () => undefined);
      return async () => {
        const values = (await measure(UNCOUNTED + 100, pause)).slice(UNCOUNTED);
        return { p50Ms: percentile(values, 50), p99Ms: percentile(values, 99) };
      };
    },
  };
}

/** Idle again: settled, and the reader blocks before the next one comes. */
function pause(): Promise<unknown> {
  return sleep(3 + Math.random() * 4);
}
