import type { RedisStreamsEngine } from '../engine.js';
import { ConnectionError } from '../errors/index.js';
import { withDeadline } from '../redis/deadline.js';
import { patiently } from '../redis/patiently.js';

/** Resolves when Redis answers: an engine without consumers asks it nothing when it starts. @throws ConnectionError, after startTimeoutMs */
export async function answered(engine: RedisStreamsEngine, connection: string): Promise<void> {
  const { redis } = engine.partsOf(connection);
  const waitMs = engine.timings.startTimeoutMs;
  const late = new AbortController();
  try {
    await withDeadline(patiently(() => redis.commands.call('PING', []), late.signal), waitMs, () => new ConnectionError(`Redis did not answer within ${waitMs} ms; is it running, and are the connection options right?`));
  } finally {
    late.abort();
  }
}
