import { Injectable } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import type { LeaseHandlers, StreamLease } from '../lease/types.js';
import { LeaseHandlerBinder } from './binder.js';
import type { LeaseHook } from './decorators/handler-metadata.js';
import { type DiscoveredHandler, LeaseHandlerExplorer } from './explorer.js';
import { type HandlerProxy, missingEnhancers } from './nest-compat.js';
import { DEFAULT_CONNECTION } from './tokens.js';

/** Makes one lease consumer of all decorated methods for one service and connection. */
@Injectable()
export class LeaseHandlerRegistrar {
  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly explorer: LeaseHandlerExplorer,
    private readonly binder: LeaseHandlerBinder,
  ) {}

  /** @throws InvalidOptionsError with every problem of every handler. */
  register(): void {
    const problems: OptionProblem[] = [];
    for (const group of groupByConsumer(this.explorer.explore())) {
      problems.push(...group.flatMap(unguarded));
      const [assigned, second] = group.filter(({ hook }) => hook === 'assigned');
      if (assigned === undefined) problems.push(...group.map(unhandled));
      else if (second !== undefined) problems.push(duplicate(assigned, second));
      else problems.push(...this.addConsumer(assigned, group));
    }
    if (problems.length > 0) throw new InvalidOptionsError(problems);
  }

  private addConsumer(assigned: DiscoveredHandler, group: readonly DiscoveredHandler[]): readonly OptionProblem[] {
    try {
      this.engine.addLeaseConsumer(assigned.options, this.handlers(assigned, group));
      return [];
    } catch (error) {
      if (!(error instanceof InvalidOptionsError)) throw error;
      return error.problems.map(({ path, message }) => ({ path: `@OnStreamAssigned of ${assigned.label}: ${path}`, message }));
    }
  }

  private handlers(assigned: DiscoveredHandler, group: readonly DiscoveredHandler[]): LeaseHandlers {
    const run = this.binder.bind(assigned);
    return {
      assigned: (lease: StreamLease) => run(lease.info, lease),
      ...this.hook('expired', group),
      ...this.hook('disowned', group),
      ...this.hook('terminated', group),
    };
  }

  private hook(name: LeaseHook, group: readonly DiscoveredHandler[]): Partial<LeaseHandlers> {
    const proxies = group.filter(({ hook }) => hook === name).map((handler) => this.binder.bind(handler));
    return proxies.length === 0 ? {} : { [name]: (event: unknown) => runAll(proxies, event) };
  }
}

/** One listener's failure keeps no other from being told. */
async function runAll(proxies: readonly HandlerProxy[], event: unknown): Promise<void> {
  const outcomes = await Promise.allSettled(proxies.map((proxy) => proxy(event, event)));
  const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} of ${proxies.length} listeners failed`);
}

function groupByConsumer(handlers: readonly DiscoveredHandler[]): DiscoveredHandler[][] {
  const groups = new Map<string, DiscoveredHandler[]>();
  for (const handler of handlers) {
    const key = JSON.stringify([handler.connection, handler.options.service]);
    groups.set(key, [...(groups.get(key) ?? []), handler]);
  }
  return [...groups.values()];
}

function duplicate(first: DiscoveredHandler, second: DiscoveredHandler): OptionProblem {
  return {
    path: second.label,
    message: `${describe(second)} has a second @OnStreamAssigned; ${first.label} has the first. A stream has one handler: keep one of them`,
  };
}

function unhandled(handler: DiscoveredHandler): OptionProblem {
  const decorator = `@OnStream${handler.hook.charAt(0).toUpperCase()}${handler.hook.slice(1)}`;
  return { path: handler.label, message: `${decorator} for ${describe(handler)}, which no method handles with @OnStreamAssigned` };
}

function unguarded({ label, module, type, methodName }: DiscoveredHandler): OptionProblem[] {
  const names = missingEnhancers(module, type, methodName);
  if (names.length === 0) return [];
  return [{
    path: label,
    message: `Nest makes no guards, interceptors, pipes or filters for objects of a factory or value (here ${names.join(', ')}); provide ${type.name} as a class, or give instances to the decorators`,
  }];
}

function describe({ options, connection }: DiscoveredHandler): string {
  return `service "${options.service}"${connection === DEFAULT_CONNECTION ? '' : ` on connection "${connection}"`}`;
}
