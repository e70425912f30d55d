import type { RunOptions } from '../supervisor/run-options.js';
import type { Stage } from '../supervisor/stage.js';
import type { DemoServer } from '../server/server.js';

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** What it needs unless the command line says otherwise. The embedded server bears less than a real one. */
  defaults(server: DemoServer['kind']): Partial<RunOptions>;
  /** Plays while the producer announces. When it returns, announcing stops, and what is open is drained. */
  play(stage: Stage): Promise<void>;
}
