import type { Rng } from '../support/seed.js';

export interface ScenarioContext {
  readonly seed: number;
  readonly rng: Rng;
  /** Some seconds instead of the full measure, and times held to what a slow or busy machine keeps: see `within`. */
  readonly short: boolean;
  /** Overrides how long the faults go on. */
  readonly seconds?: number;
  readonly topology: 'standalone' | 'cluster';
  /** One line, with the time since the start. */
  say(line: string): void;
}

/**
 * How long something may take whose goal is `goalMs`. The long form is run on a machine that has nothing else to do and is held to
 * the goal itself. The short one is run before every merge, wherever that is: it judges what happened as strictly, but of time
 * only that nothing hangs or runs into a timeout. Verdicts name the time that was measured and, behind it, the one allowed.
 */
export function within({ short }: Pick<ScenarioContext, 'short'>, goalMs: number): number {
  return short ? goalMs + Math.min(Math.max(4 * goalMs, 1_000), 15_000) : goalMs;
}

export interface Outcome {
  /** Counters and times, flat. */
  readonly verdict: Readonly<Record<string, unknown>>;
  /** Promises that were not kept; none means success. */
  readonly breaches: readonly string[];
}

/** A run in which one of its faults never came shows nothing about it. */
export function neverHappened(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts).flatMap(([what, count]) => (count > 0 ? [] : [`${what} is ${count}: this run shows nothing about it`]));
}

/** One scenario's end. */
export interface Result extends Outcome {
  readonly scenario: string;
  readonly seed: number;
  readonly topology: string;
  readonly ok: boolean;
  readonly durationMs: number;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** What the full form takes, roughly, in seconds. */
  readonly takesSeconds: number;
  run(context: ScenarioContext): Promise<Outcome>;
}
