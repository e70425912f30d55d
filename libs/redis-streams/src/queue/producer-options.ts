import type { OptionProblem } from '../errors/index.js';
import { Check, objectOf } from '../keys/check.js';
import { checkKeys } from '../keys/names.js';
import type { QueueProducerOptions } from '../options.js';

export type ResolvedQueueProducer = Required<QueueProducerOptions>;

const DEFAULTS: ResolvedQueueProducer = { maxPending: 50_000, maxPendingBytes: 33_554_432, whenFull: 'reject', maxBatch: 256, lingerMs: 0, sendTimeoutMs: 15_000, waitReplicas: 0, waitTimeoutMs: 1_000 };

/** Applies defaults and reports every problem with its path. */
export function resolveQueueProducer(given?: QueueProducerOptions, path = 'queue.producer', base: ResolvedQueueProducer = DEFAULTS): { value: ResolvedQueueProducer; problems: OptionProblem[] } {
  const check = new Check(path);
  const input = objectOf(given, path, check.problems);
  check.problems.push(...checkKeys(input, Object.keys(DEFAULTS), path));
  const value: ResolvedQueueProducer = {
    maxPending: check.number('maxPending', input.maxPending, base.maxPending, 1, 10_000_000),
    maxPendingBytes: check.number('maxPendingBytes', input.maxPendingBytes, base.maxPendingBytes, 1, 17_179_869_184),
    whenFull: check.oneOf('whenFull', input.whenFull, ['reject', 'wait'], base.whenFull),
    maxBatch: check.number('maxBatch', input.maxBatch, base.maxBatch, 1, 2_000),
    lingerMs: check.number('lingerMs', input.lingerMs, base.lingerMs, 0, 60_000),
    sendTimeoutMs: check.number('sendTimeoutMs', input.sendTimeoutMs, base.sendTimeoutMs, 10, 86_400_000),
    waitReplicas: check.number('waitReplicas', input.waitReplicas, base.waitReplicas, 0, 100),
    waitTimeoutMs: check.number('waitTimeoutMs', input.waitTimeoutMs, base.waitTimeoutMs, 1, 3_600_000),
  };
  // Else the batch would be given up before the replicas had their time.
  if (value.waitReplicas > 0 && value.waitTimeoutMs > value.sendTimeoutMs) check.report('waitTimeoutMs', `must be at most sendTimeoutMs, ${value.sendTimeoutMs}`, value.waitTimeoutMs);
  if (value.lingerMs >= value.sendTimeoutMs) check.report('lingerMs', `must be less than sendTimeoutMs, ${value.sendTimeoutMs}`, value.lingerMs);
  return { value, problems: check.problems };
}
