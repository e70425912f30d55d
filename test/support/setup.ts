// Nest's decorators write their metadata through this; it must be there before the first decorated class.
import 'reflect-metadata';
import { beforeEach, type RunnerTask } from 'vitest';

const installed = Symbol.for('nestjs-redis-streams.test.ends-with-parent');
const current = Symbol.for('nestjs-redis-streams.test.current');
const marks = globalThis as unknown as { [installed]?: boolean; [current]?: RunnerTask };

beforeEach(({ task }) => { marks[current] = task; });

/**
 * What a failed test still awaited is refused when its engines are stopped, and nobody is left to hear it: a
 * consequence of that failure, not one of its own that no second try could mend. All others are vitest's, which
 * leaves alone what has another listener.
 */
function afterFailure(error: unknown, promise: Promise<unknown>): void {
  if (marks[current]?.result?.errors?.length) return console.log(`after the failed test: ${String(error)}`);
  process.off('unhandledRejection', afterFailure);
  process.emit('unhandledRejection', error, promise);
  process.on('unhandledRejection', afterFailure);
}

// An interrupted vitest exits at once, but its workers stay until their test times out, and with them the servers
// they started. The channel closes however the parent ended; SIGKILL, since a worker's process.exit() is a trap.
if (typeof process.send === 'function' && !marks[installed]) {
  marks[installed] = true;
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.on('unhandledRejection', afterFailure);
}
