import type { RedisStreamsEngine } from '../engine.js';
import { ClosedError, InvalidOptionsError, NoHandlerError } from '../errors/index.js';
import { fullName } from '../keys/partition-keys.js';
import { nameOfRoute, requestName } from '../keys/transport-keys.js';
import type { QueueProducer } from '../queue/producer.js';
import { sleep } from '../redis/sleep.js';
import type { ResolvedTransport } from './options.js';

const LOOK_MS = 100;

/** Queues of requests, by pattern, once somebody handles them. */
export class RequestQueues {
  private readonly known = new Map<string, QueueProducer>();
  private readonly lookups = new Map<string, Promise<QueueProducer>>();
  private readonly closing = new AbortController();

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly transport: ResolvedTransport,
  ) {}

  /** What is known without asking. */
  get(pattern: string): QueueProducer | undefined {
    return this.known.get(pattern);
  }

  /** Waits a while for somebody to handle it. @throws NoHandlerError | InvalidOptionsError | ClosedError */
  find(pattern: string): Promise<QueueProducer> {
    let lookup = this.lookups.get(pattern);
    if (!lookup) {
      lookup = this.look(pattern).finally(() => this.lookups.delete(pattern));
      this.lookups.set(pattern, lookup);
    }
    return lookup;
  }

  close(): void {
    this.closing.abort();
  }

  private async look(pattern: string): Promise<QueueProducer> {
    const name = nameOfRoute(pattern);
    if (name === undefined) throw new InvalidOptionsError([{ path: `pattern ${pattern}`, message: 'is empty or too long to name a queue: choose another one' }]);
    const { engine, transport: { namespace, connection, producer, handlerWaitMs } } = this;
    const queue = requestName(name);
    const until = performance.now() + handlerWaitMs;
    while (!(await engine.partsOf(connection).queueRegistry.find(fullName(namespace, queue)))) {
      if (this.closing.signal.aborted) throw new ClosedError('the client');
      if (performance.now() >= until) throw new NoHandlerError(pattern, handlerWaitMs);
      await sleep(LOOK_MS, this.closing.signal);
    }
    const found = engine.queues(connection).queue({ queue, namespace }, producer);
    this.known.set(pattern, found);
    return found;
  }
}
