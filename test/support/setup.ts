// Nest's decorators write their metadata through this; it must be there before the first decorated class.
import 'reflect-metadata';

// An interrupted vitest exits at once, but its workers stay until their test times out, and with them the servers
// they started. The channel closes however the parent ended; SIGKILL, since a worker's process.exit() is a trap.
const installed = Symbol.for('nestjs-redis-streams.test.ends-with-parent');
const marks = globalThis as unknown as Record<symbol, boolean>;
if (typeof process.send === 'function' && !marks[installed]) {
  marks[installed] = true;
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
}
