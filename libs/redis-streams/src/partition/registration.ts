import { ClosedError, InvalidOptionsError, StreamMismatchError, StreamNotRegisteredError, type OptionProblem } from '../errors/index.js';
import { PARTITIONERS, type Partitioner } from '../kernel/partitioner.js';
import { checkKeys, checkPartName, describe } from '../keys/names.js';
import { fullName, registrationKey } from '../keys/partition-keys.js';
import type { StreamRegistration } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import { patiently } from '../redis/patiently.js';
import { sleep } from '../redis/sleep.js';

/** What Redis keeps about a stream: equal in every process, or it is refused. */
export interface StreamDefinition {
  readonly partitions: number;
  readonly shards: number;
  readonly partitioner: string;
  readonly maxEntries: number;
  readonly keepMs: number;
  readonly whenFull: 'reject' | 'drop-oldest';
}

/** A stream as this process knows it. */
export interface KnownStream extends StreamDefinition {
  /** Full name. */
  readonly stream: string;
  /** Undefined: it has a partitioner of its own, which this process was not given yet, and so cannot send by key. */
  partition: Partitioner | undefined;
}

export interface ResolvedRegistration {
  readonly stream: string;
  readonly connection: string;
  readonly definition: StreamDefinition;
  readonly partition: Partitioner;
}

const LOOK_MS = 200;

export function resolveRegistration(input: StreamRegistration, namespace: string | undefined, connections: readonly string[], path: string): { value: ResolvedRegistration; problems: OptionProblem[] } {
  const problems: OptionProblem[] = checkKeys(input, ['name', 'namespace', 'connection', 'partitions', 'shards', 'partitioner', 'retention'], path);
  const number = (key: string, value: unknown, fallback: number, min: number, max: number): number => {
    if (value === undefined && !Number.isNaN(fallback)) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    problems.push({ path: `${path}.${key}`, message: `must be a whole number from ${min} to ${max} (got ${describe(value)})` });
    return min;
  };
  problems.push(...checkPartName(input.name, `${path}.name`));
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const connection = input.connection ?? 'default';
  if (!connections.includes(connection)) problems.push({ path: `${path}.connection`, message: `must be one of the configured connections: ${connections.join(', ')} (got ${describe(connection)})` });
  const partitions = number('partitions', input.partitions, NaN, 1, 10_000);
  const shards = number('shards', input.shards, 1, 1, 1_024);
  if (shards > partitions && partitions === input.partitions) problems.push({ path: `${path}.shards`, message: `must be at most the number of partitions, ${partitions} (got ${shards})` });
  const retention = input.retention ?? {};
  problems.push(...checkKeys(retention, ['maxEntries', 'keepMs', 'whenFull'], `${path}.retention`));
  const whenFull = retention.whenFull ?? 'reject';
  if (whenFull !== 'reject' && whenFull !== 'drop-oldest') problems.push({ path: `${path}.retention.whenFull`, message: `must be "reject" or "drop-oldest" (got ${describe(whenFull)})` });
  const definition: StreamDefinition = {
    partitions,
    shards,
    partitioner: partitionerName(input.partitioner, (message) => problems.push({ path: `${path}.partitioner`, message })),
    maxEntries: number('retention.maxEntries', retention.maxEntries, 1_000_000, 1, 1_000_000_000),
    keepMs: number('retention.keepMs', retention.keepMs, 0, 0, 31_536_000_000),
    whenFull,
  };
  return { value: { stream: fullName(input.namespace ?? namespace, input.name), connection, definition, partition: partitionerOf(input.partitioner) }, problems };
}

function partitionerName(given: StreamRegistration['partitioner'], problem: (message: string) => void): string {
  if (given === undefined) return 'murmur2';
  if (typeof given === 'string' && Object.hasOwn(PARTITIONERS, given)) return given;
  const custom = given as { name?: unknown; partition?: unknown } | null;
  if (typeof custom === 'object' && typeof custom?.partition === 'function' && typeof custom.name === 'string' && !Object.hasOwn(PARTITIONERS, custom.name) && checkPartName(custom.name, '').length === 0) return custom.name;
  problem(`must be "murmur2", "fnv1a", or an object with a name of its own and a function partition(key, partitions) (got ${describe(given)})`);
  return 'murmur2';
}

function partitionerOf(given: StreamRegistration['partitioner']): Partitioner {
  if (given === undefined || typeof given === 'string') return PARTITIONERS[(given ?? 'murmur2') as keyof typeof PARTITIONERS] ?? PARTITIONERS.murmur2;
  return (key, partitions) => given.partition(key, partitions);
}

/** Streams of one connection: those registered here, and those somebody else registered. */
export class StreamRegistry {
  private readonly own = new Map<string, ResolvedRegistration>();
  private readonly known = new Map<string, KnownStream>();

  constructor(
    private readonly redis: RedisConnection,
    private readonly by: string,
    private readonly waitMs: number,
  ) {}

  /** Notes a registration of this process; `registerAll` tells Redis. @throws InvalidOptionsError when it differs from another of this process */
  add(registration: ResolvedRegistration): void {
    const other = this.own.get(registration.stream);
    const differences = other ? differ(registration.definition, other.definition) : [];
    if (differences.length > 0) throw new InvalidOptionsError([{ path: `stream "${registration.stream}"`, message: `is registered twice in this application, and differs: ${differences.join('; ')}` }]);
    this.own.set(registration.stream, registration);
  }

  /** Registers all of this process; also again, since Redis may have been emptied. @throws StreamMismatchError */
  async registerAll(): Promise<void> {
    await Promise.all([...this.own.values()].map((registration) => this.register(registration)));
  }

  /** @throws StreamMismatchError, and then nothing of it is kept */
  async register(registration: ResolvedRegistration): Promise<void> {
    const { stream, definition, partition } = registration;
    const found = (await this.ask(stream, definition))!;
    const differences = differ(definition, found.definition);
    if (differences.length > 0) throw new StreamMismatchError(stream, differences, found.by);
    this.own.set(stream, registration);
    this.know(stream, found.definition).partition = partition;
  }

  /** A stream by its full name; waits a while for somebody to register it. @throws StreamNotRegisteredError */
  async get(stream: string, who: string, signal?: AbortSignal): Promise<KnownStream> {
    const until = performance.now() + this.waitMs;
    for (;;) {
      const known = this.known.get(stream);
      if (known) return known;
      // Its registration is under way in `registerAll`, or has just been refused there.
      const found = await this.ask(stream, undefined, signal);
      if (found) return this.know(stream, found.definition);
      if (signal?.aborted) throw new ClosedError(who);
      if (performance.now() >= until) throw new StreamNotRegisteredError(stream, who);
      await sleep(LOOK_MS, signal);
    }
  }

  /** The one object of a stream: a producer that holds it learns of a partitioner given later. */
  private know(stream: string, definition: StreamDefinition): KnownStream {
    const known = this.known.get(stream) ?? { ...definition, stream, partition: this.own.get(stream)?.partition ?? builtIn(definition.partitioner) };
    this.known.set(stream, known);
    return known;
  }

  /** Waits for a server that is not there yet, as long as a send would. */
  private async ask(stream: string, definition: StreamDefinition | undefined, signal?: AbortSignal): Promise<{ definition: StreamDefinition; by: string } | undefined> {
    const args = [definition ? JSON.stringify(definition) : '', this.by];
    const [status, text, by] = (await patiently(() => this.redis.scripts.run('partition-register', [registrationKey(stream)], args), signal)) as [string, string?, string?];
    return status === 'NONE' ? undefined : { definition: JSON.parse(String(text)) as StreamDefinition, by: String(by) };
  }
}

function builtIn(partitioner: string): Partitioner | undefined {
  return Object.hasOwn(PARTITIONERS, partitioner) ? PARTITIONERS[partitioner as keyof typeof PARTITIONERS] : undefined;
}

function differ(mine: StreamDefinition, theirs: StreamDefinition): string[] {
  return (Object.keys(mine) as Array<keyof StreamDefinition>).filter((key) => mine[key] !== theirs[key]).map((key) => `${key}: ${mine[key]} here, ${theirs[key]} as registered`);
}
