import type { Rng } from '../support/seed.js';

export interface ScenarioContext {
  readonly seed: number;
  readonly rng: Rng;
  /** 5-20 s instead of the full measure. */
  readonly short: boolean;
  /** Overrides how long the faults go on. */
  readonly seconds?: number;
  readonly topology: 'standalone' | 'cluster';
  /** One line, with the time since the start. */
  say(line: string): void;
}

export interface Outcome {
  /** Counters and times, flat. */
  readonly verdict: Readonly<Record<string, unknown>>;
  /** Promises that were not kept; none means success. */
  readonly breaches: readonly string[];
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** What the full form takes, roughly, in seconds. */
  readonly takesSeconds: number;
  run(context: ScenarioContext): Promise<Outcome>;
}
