import type { Redis } from 'ioredis';
import type { PrivateRedis } from './support/redis.js';
import type { Worker, WorkerOptions } from './support/worker.js';

/** What one contender measured in one round, by name; rates end in `PerSecond`, durations in `Ms`, sizes in `Bytes`. */
export type Metrics = Readonly<Record<string, number>>;

/** What a round may use. The server was emptied before it; processes it spawns are ended after it. */
export interface Stage {
  readonly redis: PrivateRedis;
  /** A connection of the bench itself, for preparing and for reading the server's own counters. */
  readonly admin: Redis;
  spawn(role: string, options?: WorkerOptions): Promise<Worker>;
  /** What the bench itself opened, to be closed when the stage ends. */
  after(close: () => Promise<unknown>): void;
}

/** Begins anew in every round, on the one server. */
export interface Contender {
  readonly name: string;
  round(stage: Stage): Promise<Metrics>;
}

/**
 * Stays up for the whole bench, on a server of its own; its rounds are bursts of a second at most, in turns with the others'.
 * A machine changes its speed within a minute by more than what is to be told apart: bursts that follow each other see the same.
 */
export interface StandingContender {
  readonly name: string;
  /** Resolves, warmed up, with what runs a burst. */
  stand(stage: Stage): Promise<() => Promise<Metrics>>;
}

/** One number made of one round's metrics. Formed per round, so that both sides saw the same machine, then the median is taken. */
export interface Ratio {
  readonly name: string;
  value(round: Readonly<Record<string, Metrics>>): number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  /** `short: 0`: left out of the short form of its suite. */
  readonly rounds: { readonly full: number; readonly short: number };
  /** Metric shown in the progress line. */
  readonly headline: string;
  /** Why it cannot be run here, if so: it is left out then. */
  unavailable?(): string | undefined;
  contenders(short: boolean): ReadonlyArray<Contender | StandingContender>;
  readonly ratios: readonly Ratio[];
}

/** `contender`'s metric, which must have been measured. */
export function metric(round: Readonly<Record<string, Metrics>>, contender: string, name: string): number {
  const value = round[contender]?.[name];
  if (value === undefined) throw new Error(`contender "${contender}" has no metric "${name}"`);
  return value;
}
