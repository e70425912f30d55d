import type { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { Check } from '../keys/check.js';
import { checkKeys, checkPartName } from '../keys/names.js';
import { TRANSPORT_NAMESPACE } from '../keys/transport-keys.js';
import type { QueueTuning } from '../options.js';
import type { PatternOptions, TransportOptions } from '../options-transport.js';

export interface ResolvedTransport {
  readonly service: string | undefined;
  readonly namespace: string;
  readonly connection: string;
  readonly shards: number | undefined;
  readonly events: QueueTuning;
  readonly requests: QueueTuning;
  readonly producer: NonNullable<TransportOptions['producer']> | undefined;
  readonly requestTimeoutMs: number;
  readonly handlerWaitMs: number;
  readonly codec: 'json' | 'msgpack';
  readonly maxBytes: number;
  readonly maxDepth: number;
}

const KNOWN = [
  'service', 'namespace', 'connection', 'shards', 'events', 'requests', 'producer', 'requestTimeoutMs', 'handlerWaitMs', 'codec', 'maxBytes', 'maxDepth',
  'serializer', 'deserializer',
];
const REQUESTS = ['concurrency', 'prefetch', 'maxProcessingMs', 'maxCrashes', 'retry'];
/** A request's handler waits for others more than it works. */
const REQUEST_CONCURRENCY = 256;
const MAX_SERVICE = 100;

/** @param engine where it is known already. @throws InvalidOptionsError with every problem found */
export function resolveTransport(input: TransportOptions = {}, engine?: RedisStreamsEngine): ResolvedTransport {
  const path = 'transport';
  const check = new Check(path);
  const { problems } = check;
  problems.push(...checkKeys(input, KNOWN, path), ...checkKeys(input.requests ?? {}, REQUESTS, `${path}.requests`));
  const { service, namespace = TRANSPORT_NAMESPACE } = input;
  if (service !== undefined) problems.push(...checkPartName(service, `${path}.service`));
  if (typeof service === 'string' && service.length > MAX_SERVICE) check.report('service', `must be at most ${MAX_SERVICE} characters`, service);
  problems.push(...checkPartName(namespace, `${path}.namespace`));
  if (input.serializer !== undefined && typeof input.serializer?.serialize !== 'function') check.report('serializer', 'must have a method serialize', input.serializer);
  if (input.deserializer !== undefined && typeof input.deserializer?.deserialize !== 'function') check.report('deserializer', 'must have a method deserialize', input.deserializer);
  const { concurrency = REQUEST_CONCURRENCY, ...requests } = input.requests ?? {};
  const resolved: ResolvedTransport = {
    service,
    namespace,
    connection: input.connection ?? 'default',
    shards: input.shards === undefined ? undefined : check.number('shards', input.shards, 1, 1, 256),
    events: input.events ?? {},
    // What it holds it runs: a request that waits here could run elsewhere.
    requests: { concurrency, prefetch: concurrency, ...requests },
    producer: input.producer,
    requestTimeoutMs: check.number('requestTimeoutMs', input.requestTimeoutMs, 60_000, 0, 86_400_000),
    handlerWaitMs: check.number('handlerWaitMs', input.handlerWaitMs, 5_000, 0, 3_600_000),
    codec: check.oneOf('codec', input.codec, ['json', 'msgpack']),
    maxBytes: check.number('maxBytes', input.maxBytes, 1_048_576, 1, 16_777_216),
    maxDepth: check.number('maxDepth', input.maxDepth, 64, 1, 1_000),
  };
  if (engine) problems.push(...unknownConnection(engine, resolved.connection, path));
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return resolved;
}

function unknownConnection(engine: RedisStreamsEngine, connection: string, path: string): OptionProblem[] {
  try {
    engine.partsOf(connection);
    return [];
  } catch (error) {
    if (!(error instanceof InvalidOptionsError)) throw error;
    return error.problems.map((problem) => ({ ...problem, path: `${path}.${problem.path}` }));
  }
}

/** Key in the extras of `@EventPattern` and `@MessagePattern`. */
const EXTRAS = 'redisStreams';
const PATTERN = ['concurrency', 'prefetch', 'ack', 'maxProcessingMs', 'retry', 'maxCrashes', 'startFrom', 'partitions', 'broadcast'];

/** Options of one pattern, as extras of Nest's decorators: `@EventPattern('order.paid', streamOptions({ partitions: 12 }))`. */
export function streamOptions(options: PatternOptions): Record<string, PatternOptions> {
  return { [EXTRAS]: options };
}

/** @returns what `streamOptions` was given, and what is wrong with it */
export function patternOptions(extras: Readonly<Record<string, unknown>> | undefined, path: string, isEvent: boolean): { value: PatternOptions; problems: OptionProblem[] } {
  const value = (extras?.[EXTRAS] ?? {}) as PatternOptions;
  const known = isEvent ? PATTERN : REQUESTS;
  const problems = checkKeys(value, known, path);
  if (value.partitions !== undefined && value.broadcast) problems.push({ path, message: 'cannot have both partitions and broadcast: what every instance gets is not shared by key' });
  return { value, problems };
}
