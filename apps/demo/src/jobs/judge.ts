import { isHopeless } from './job.js';

/** The figures that a run ends with. */
export interface Figures {
  readonly sent: number;
  /** Different jobs done. */
  readonly processed: number;
  /** Redis had answered for them, and they were neither done, nor given up, nor are they in the queue still. */
  readonly lost: number;
  /** Jobs done more than once. */
  readonly duplicates: number;
  readonly deadLetters: number;
  /** From the first job to the last that was done. */
  readonly messagesPerSecond: number;
}

export interface Facts {
  readonly sent: number;
  /** How often each job was done, by number. */
  readonly done: ReadonlyMap<number, number>;
  /** Numbers of the jobs that were given up. */
  readonly dead: readonly number[];
  /** Jobs that are in the queue still. */
  readonly open: number;
  /** From the first job to the last that was done. */
  readonly ms: number;
}

export interface Judgement {
  readonly figures: Figures;
  /** Jobs given up that should have been done. */
  readonly wronglyGivenUp: number;
  readonly problems: readonly string[];
}

/** Takes the time clock's word for what was done, and the sender's for what there was to do. */
export function judge({ sent, done, dead, open, ms }: Facts): Judgement {
  const problems: string[] = [];
  const given = new Set(dead);
  let missing = 0, duplicates = 0, wronglyGivenUp = 0;
  for (let n = 1; n <= sent; n++) {
    const times = done.get(n) ?? 0;
    if (times > 1) duplicates++;
    if (times > 0 || given.has(n)) continue;
    missing++;
    if (missing > open) problems.push(`job ${n} was neither done nor given up`);
  }
  for (const n of given) {
    if (isHopeless(n)) continue;
    wronglyGivenUp++;
    problems.push(`job ${n} was given up, which should have been done${done.has(n) ? ', and was' : ''}`);
  }
  const lost = Math.max(0, missing - open);
  const figures = { sent, processed: done.size, lost, duplicates, deadLetters: dead.length, messagesPerSecond: ms > 0 ? Math.round((done.size * 1_000) / ms) : 0 };
  return { figures, wronglyGivenUp, problems };
}
