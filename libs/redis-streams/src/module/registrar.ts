import { Inject, Injectable } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import type { StreamLease } from '../lease/types.js';
import type { RedisStreamsOptions } from '../options.js';
import { HandlerBinder } from './binder.js';
import { consumerOf, type HandlerMetadata, MAIN, subjectOf } from './decorators/handler-metadata.js';
import { type DiscoveredHandler, HandlerExplorer } from './explorer.js';
import type { HandlerProxy } from './handler-call.js';
import { missingEnhancers } from './nest-compat.js';
import { REDIS_STREAMS_OPTIONS } from './tokens.js';

type Hooks<Name extends string> = { readonly [K in Name]?: (event: unknown) => Promise<void> };

/**
 * Makes one consumer of all decorated methods for one service, or for one group of one stream or queue, and connection; and a
 * subscriber of every method for a room.
 */
@Injectable()
export class HandlerRegistrar {
  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly explorer: HandlerExplorer,
    private readonly binder: HandlerBinder,
    @Inject(REDIS_STREAMS_OPTIONS) private readonly options: RedisStreamsOptions,
  ) {}

  /** @throws InvalidOptionsError with every problem of every handler. */
  register(): void {
    const problems: OptionProblem[] = [];
    for (const [consumer, handlers] of this.groupByConsumer(this.explorer.explore())) {
      problems.push(...handlers.flatMap(unguarded));
      const mains = handlers.filter(({ capability, hook }) => hook === MAIN[capability].hook);
      const [first, second] = mains;
      if (first === undefined) problems.push(...handlers.map((handler) => unhandled(handler, consumer)));
      else if (second !== undefined && first.capability !== 'fanout') problems.push(duplicate(first, second, consumer));
      else problems.push(...mains.flatMap((main) => this.addConsumer(main, handlers)));
    }
    if (problems.length > 0) throw new InvalidOptionsError(problems);
  }

  private addConsumer(main: DiscoveredHandler, handlers: readonly DiscoveredHandler[]): readonly OptionProblem[] {
    try {
      this.hand(main, this.bind(main), handlers);
      return [];
    } catch (error) {
      if (!(error instanceof InvalidOptionsError)) throw error;
      return error.problems.map(({ path, message }) => ({ path: `${main.decorator} of ${main.label}: ${path}`, message }));
    }
  }

  private hand(main: DiscoveredHandler, run: HandlerProxy, handlers: readonly DiscoveredHandler[]): void {
    switch (main.capability) {
      case 'lease':
        this.engine.addLeaseConsumer(main.options, {
          assigned: (lease: StreamLease) => run(lease.info, lease),
          ...this.hooks(['expired', 'disowned', 'terminated'], handlers),
        });
        break;
      case 'partition': {
        const isBatch = (main.options.batch ?? this.options.partition?.batch) !== undefined;
        this.engine.addPartitionConsumer(main.options, {
          ...(isBatch ? { batch: run } : { message: run }),
          ...this.hooks(['assigned', 'revoked', 'lost'], handlers),
        });
        break;
      }
      case 'fanout':
        this.engine.addRoomHandler(main.options, { message: run, ...this.hooks(['joined', 'ejected'], handlers) });
        break;
      case 'queue':
        this.engine.addQueueConsumer(main.options, { message: run });
    }
  }

  private hooks<Name extends HandlerMetadata['hook']>(names: readonly Name[], handlers: readonly DiscoveredHandler[]): Hooks<Name> {
    const hooks: { [K in Name]?: (event: unknown) => Promise<void> } = {};
    for (const name of names) {
      const proxies = handlers.filter(({ hook }) => hook === name).map((handler) => this.bind(handler));
      if (proxies.length > 0) hooks[name] = (event) => runAll(proxies, event);
    }
    return hooks;
  }

  private bind(handler: DiscoveredHandler): HandlerProxy {
    return this.binder.bind(handler, subjectOf(handler, this.options));
  }

  private groupByConsumer(handlers: readonly DiscoveredHandler[]): Map<string, DiscoveredHandler[]> {
    const groups = new Map<string, DiscoveredHandler[]>();
    for (const handler of handlers) {
      const consumer = consumerOf(handler, this.options);
      groups.set(consumer, [...(groups.get(consumer) ?? []), handler]);
    }
    return groups;
  }
}

/** One listener's failure keeps no other from being told. */
async function runAll(proxies: readonly HandlerProxy[], event: unknown): Promise<void> {
  const outcomes = await Promise.allSettled(proxies.map(async (proxy) => proxy(event, event)));
  const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} of ${proxies.length} listeners failed`);
}

function duplicate(first: DiscoveredHandler, second: DiscoveredHandler, consumer: string): OptionProblem {
  const why = first.capability === 'lease' ? 'A stream has one handler' : 'A group has one handler; another group gets every message too';
  return { path: second.label, message: `${consumer} has a second ${second.decorator}; ${first.label} has the first. ${why}: keep one of them` };
}

function unhandled(handler: DiscoveredHandler, consumer: string): OptionProblem {
  return { path: handler.label, message: `${handler.decorator} for ${consumer}, which no method handles with ${MAIN[handler.capability].decorator}` };
}

function unguarded({ label, module, type, methodName }: DiscoveredHandler): OptionProblem[] {
  const names = missingEnhancers(module, type, methodName);
  if (names.length === 0) return [];
  return [{
    path: label,
    message: `Nest makes no guards, interceptors, pipes or filters for objects of a factory or value (here ${names.join(', ')}); provide ${type.name} as a class, or give instances to the decorators`,
  }];
}
