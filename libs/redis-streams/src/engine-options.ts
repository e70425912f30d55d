import { InvalidOptionsError, type OptionProblem } from './errors/index.js';
import { resolveFanout, type ResolvedFanout } from './fanout/options.js';
import { checkConnection } from './keys/check-connection.js';
import { checkConsumerName, checkKeys, describe } from './keys/names.js';
import { resolveLeaseTuning, type ResolvedLeaseTuning } from './lease/options.js';
import type { ConnectionOptions, RedisStreamsOptions } from './options.js';
import { resolvePartitionDefaults, type ResolvedPartitionDefaults } from './partition/options.js';
import { resolveQueueDefaults, type ResolvedQueueDefaults } from './queue/options.js';

import { resolveSessionOptions, type ResolvedSession } from './session/options.js';

const KNOWN = ['connection', 'connections', 'consumerName', 'session', 'commandTimeoutMs', 'startTimeoutMs', 'shutdown', 'lease', 'partition', 'fanout', 'queue', 'transport', 'onError'];
const DEFAULT = 'default';

/** All options of an engine, with defaults applied. */
export interface ResolvedEngineOptions {
  readonly commandTimeoutMs: number;
  readonly startTimeoutMs: number;
  readonly drainMs: number;
  readonly session: ResolvedSession;
  readonly lease: ResolvedLeaseTuning;
  readonly partition: ResolvedPartitionDefaults;
  readonly fanout: ResolvedFanout;
  readonly queue: ResolvedQueueDefaults;
  readonly connections: ReadonlyArray<readonly [string, ConnectionOptions]>;
}

/** @throws InvalidOptionsError with every problem found. */
export function resolveEngineOptions(options: RedisStreamsOptions): ResolvedEngineOptions {
  const problems: OptionProblem[] = [...checkKeys(options, KNOWN), ...checkKeys(options.shutdown ?? {}, ['drainMs'], 'shutdown')];
  const ms = (path: string, value: unknown, fallback: number, min: number, max: number): number => {
    if (value === undefined) return fallback;
    if (typeof value === 'number' && value >= min && value <= max) return value;
    problems.push({ path, message: `must be a number of milliseconds from ${min} to ${max} (got ${describe(value)})` });
    return fallback;
  };
  const parts = {
    session: resolveSessionOptions(options.session),
    lease: resolveLeaseTuning(options.lease ?? {}, 'lease'),
    partition: resolvePartitionDefaults(options.partition),
    fanout: resolveFanout(options.fanout),
    queue: resolveQueueDefaults(options.queue),
  };
  const resolved: ResolvedEngineOptions = {
    commandTimeoutMs: ms('commandTimeoutMs', options.commandTimeoutMs, 2_000, 50, 600_000),
    startTimeoutMs: ms('startTimeoutMs', options.startTimeoutMs, 10_000, 100, 600_000),
    drainMs: ms('shutdown.drainMs', options.shutdown?.drainMs, 5_000, 0, 3_600_000),
    session: parts.session.value,
    lease: parts.lease.value,
    partition: parts.partition.value,
    fanout: parts.fanout.value,
    queue: parts.queue.value,
    connections: connectionsOf(options, problems),
  };
  for (const part of Object.values(parts)) problems.push(...part.problems);
  if (options.consumerName !== undefined) problems.push(...checkConsumerName(options.consumerName, 'consumerName'));
  if (options.onError !== undefined && typeof options.onError !== 'function') problems.push({ path: 'onError', message: `must be a function (got ${describe(options.onError)})` });
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return resolved;
}

function connectionsOf(options: RedisStreamsOptions, problems: OptionProblem[]): Array<[string, ConnectionOptions]> {
  const given: Array<[string, ConnectionOptions]> = [];
  if (options.connection || !options.connections?.[DEFAULT]) given.push([DEFAULT, options.connection ?? { url: 'redis://127.0.0.1:6379' }]);
  for (const [name, connection] of Object.entries(options.connections ?? {})) {
    if (name === DEFAULT && options.connection) problems.push({ path: 'connections.default', message: 'is given twice: as `connection` and here' });
    else given.push([name, connection]);
  }
  for (const [name, connection] of given) problems.push(...checkConnection(connection, name === DEFAULT ? 'connection' : `connections.${name}`));
  return given;
}
