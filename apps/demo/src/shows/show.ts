import type { RoleName } from '../processes/role-process.js';
import type { Scene } from '../supervisor/scene.js';
import type { Verdict } from '../supervisor/verdict.js';

/** What is different between order streams, payments, rooms, jobs and a shop; the run from the server to the verdict is the same. */
export interface Show {
  readonly scene: Scene;
  /** Who is stopped first and who once everything is done. */
  readonly producer: RoleName;
  readonly consumer: RoleName;
  /** What is drained, in words. */
  readonly noun: string;
  readonly drainMs: number;
  /** Starts to follow the ledger. */
  follow(): Promise<void>;
  /** Starts the processes. Resolves when all are up and at work. */
  open(): Promise<void>;
  /** Plays the scenario. */
  play(): Promise<void>;
  /** How much there is still to do. */
  left(): Promise<number>;
  /** The last mark has been written. */
  finish(): Promise<void>;
  table(): Promise<string>;
  judge(interrupted: boolean): Promise<Verdict>;
  /** Takes a scenario's own keys off a server that is not ours. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}
