import { Logger } from '@nestjs/common';
import type { ContextId, DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';
import { isObservable } from 'rxjs';
import { BrokenOff, completed, directCall, type HandlerProxy, type Method, Streaming } from './handler-call.js';

/*
 * Everything that leans on Nest beyond its documented API stands in this file, checked against 11.2 and 12.5.
 *
 * `ExternalContextCreator` is the public way to run a method with guards, pipes, interceptors and filters, but as it
 * comes it is not enough for handlers outside HTTP; each override below says what breaks without it. They are put on
 * an object that inherits from the application's creator, so nothing of Nest's is patched and other users of the
 * creator (GraphQL, say) see no difference.
 */

/**
 * Marks the class as one that hosts handlers (Nest's own word: entry provider). Without it, a request-scoped or
 * transient APP_GUARD applies to controllers only, and a handler on a provider would run unguarded.
 */
export function markAsHandlerHost(type: object): void {
  Reflect.defineMetadata('__entryProvider__', true, type);
}

/** Where Nest's parameter decorators, `@Payload()` and `@Ctx()` among them, leave their metadata. */
const ROUTE_ARGS_METADATA = '__routeArguments__';
const ENHANCERS_METADATA = ['__guards__', '__interceptors__', '__pipes__', '__exceptionFilters__'];
/** `RpcParamtype` of `@nestjs/microservices`, which is not exported from its root. */
const PAYLOAD = 3;
const CONTEXT = 6;

export type InstanceWrapper = ReturnType<DiscoveryService['getProviders']>[number];
export type NestModule = ModulesContainer extends Map<string, infer M> ? M : never;

export interface ProxySpec {
  readonly creator: ExternalContextCreator;
  readonly moduleKey: string;
  readonly methodName: string;
  readonly type: object;
  /** What a method without parameter decorators is called with. */
  readonly plain: 'context' | 'data, context';
}

interface FilterHandler {
  invokeCustomFilters(exception: unknown, host: unknown): unknown;
}
interface Filters {
  readonly areNone: boolean;
  next(exception: unknown, host: unknown): Promise<unknown>;
}
interface Parameter {
  readonly index: number;
  readonly pipes: readonly unknown[];
  extractValue(data: unknown, context: unknown): unknown;
}
interface InterceptorsConsumer {
  intercept(interceptors: unknown, args: unknown[], instance: unknown, callback: unknown, next: () => Promise<unknown>, type: unknown): Promise<unknown>;
}
type PipesFn = ((args: unknown[], data: unknown, context: unknown) => Promise<void>) | null;
interface CreatorInternals {
  guardsContextCreator: { create(...args: unknown[]): readonly unknown[] };
  interceptorsContextCreator: { create(...args: unknown[]): readonly unknown[] };
  interceptorsConsumer: InterceptorsConsumer;
  filtersContextCreator: { create(...args: unknown[]): FilterHandler };
  externalErrorProxy: { createProxy(target: () => never, filters: Filters, type: 'rpc'): (...args: unknown[]) => Promise<unknown> };
  createPipesFn(pipes: readonly unknown[], parameters: readonly Parameter[]): PipesFn;
}

/** What Nest found around a method while it made the proxy. */
interface Surroundings {
  guards?: readonly unknown[];
  interceptors?: readonly unknown[];
  pipes?: readonly unknown[];
  parameters?: readonly Parameter[];
  filters?: Filters;
}

/** A function that makes, for one instance of the handler's class, the method with everything Nest puts around it. */
export function proxyFactory(spec: ProxySpec): (instance: object, contextId?: ContextId, inquirerId?: string) => HandlerProxy {
  const found: Surroundings = {};
  const creator = Object.assign(Object.create(spec.creator) as ExternalContextCreator, overrides(spec, found));
  return (instance, contextId, inquirerId) => {
    const method = (instance as Record<string, Method>)[spec.methodName] as Method;
    const proxy = creator.create(
      instance, method, spec.methodName, ROUTE_ARGS_METADATA, rpcParams, contextId, inquirerId, undefined, 'rpc',
    ) as (data: unknown, context: unknown) => Promise<unknown>;
    return unencumbered(spec, found, instance, method) ?? (async (data, context) => completed(await proxy(data, context), context));
  };
}

/** The direct call of a method that nothing stands before; undefined when anything does, or Nest was not seen to look. */
function unencumbered({ creator, type, methodName, plain }: ProxySpec, found: Surroundings, instance: object, method: Method): HandlerProxy | undefined {
  const { guards, interceptors, pipes, parameters, filters } = found;
  if (guards?.length !== 0 || interceptors?.length !== 0 || !pipes || !parameters || !filters) return undefined;
  const { externalErrorProxy } = creator as unknown as CreatorInternals;
  const rescue = filters.areNone
    ? undefined
    : async (error: unknown, data: unknown, context: unknown) =>
        completed(await externalErrorProxy.createProxy(() => { throw error; }, filters, 'rpc')(data, context), context);
  if (!hasParameterDecorators(type, methodName)) {
    return directCall({ instance, method, rescue, argumentsOf: plain === 'context' ? (_data, context) => [context] : (data, context) => [data, context] });
  }
  if (pipes.length > 0 || parameters.some((parameter) => parameter.pipes?.length !== 0)) return undefined;
  const length = Math.max(...parameters.map(({ index }) => index)) + 1;
  const makers = Array.from({ length }, (_, position) => parameters.find(({ index }) => index === position));
  const argumentsOf = (data: unknown, context: unknown): unknown[] => makers.map((maker) => maker?.extractValue(data, context));
  return directCall({ instance, method, rescue, argumentsOf });
}

function overrides({ creator, moduleKey, methodName, type, plain }: ProxySpec, found: Surroundings): object {
  const { guardsContextCreator, interceptorsContextCreator, interceptorsConsumer, filtersContextCreator } = creator as unknown as CreatorInternals;
  const metadata = new Map<string, unknown>();
  return {
    // Nest searches providers only, so a controller would be nowhere and its guards given as classes be skipped
    // without a word; and a class provided twice would get the enhancers of the wrong module.
    getHostModuleKey: () => moduleKey,
    getContextModuleKey: () => moduleKey,
    // Nest 11 keys parameter metadata by the *name* of the class: two classes of one name would share it.
    handlerMetadataStorage: {
      get: (_instance: object, key: string) => metadata.get(key),
      set: (_instance: object, key: string, value: unknown) => void metadata.set(key, value),
    },
    interceptorsConsumer: streaming(interceptorsConsumer),
    guardsContextCreator: { create: (...args: unknown[]) => (found.guards = guardsContextCreator.create(...args)) },
    interceptorsContextCreator: { create: (...args: unknown[]) => (found.interceptors = interceptorsContextCreator.create(...args)) },
    filtersContextCreator: { create: (...args: unknown[]) => (found.filters = quietFilters(filtersContextCreator.create(...args))) },
    createPipesFn: (pipes: readonly unknown[], parameters: readonly Parameter[]): PipesFn => {
      Object.assign(found, { pipes, parameters } satisfies Surroundings);
      // Nest would call an undecorated method with (data, context). Where it is to get the context alone, the arguments
      // that guards and interceptors see must stay as they are, and `getHandler()` the method itself.
      if (plain === 'context' && !hasParameterDecorators(type, methodName)) return async (args, _data, context) => void (args[0] = context);
      return (creator as unknown as CreatorInternals).createPipesFn(pipes, parameters);
    },
  };
}

/**
 * Nest waits for the end of what interceptors make of the method, whose own Observable may have none. The arguments are at hand
 * here, and errors from here are shown to the filters.
 */
function streaming(consumer: InterceptorsConsumer): InterceptorsConsumer {
  return {
    async intercept(interceptors, args, instance, callback, next, type) {
      const call = new Streaming(args[1]);
      const watched = async (): Promise<unknown> => {
        const result = await next();
        return isObservable(result) ? call.watched(result) : result;
      };
      const result = await consumer.intercept(interceptors, args, instance, callback, watched, type);
      return isObservable(result) ? call.last(result) : result;
    },
  };
}

/**
 * Nest's own handler logs every exception no filter took, with its stack, and rethrows. The engine reports each
 * failure with stream, attempt and token, so that line would only say it twice. And 11 takes any falsy, 12 only an
 * undefined return for "not handled": here it is undefined in both, also for async filters.
 */
function quietFilters(handler: FilterHandler): Filters {
  const areNone = (handler as unknown as { filters?: unknown[] }).filters?.length === 0;
  return {
    areNone,
    async next(exception, host) {
      if (exception instanceof BrokenOff) throw exception.reason;
      const answer = areNone ? undefined : handler.invokeCustomFilters(exception, host);
      // Nest 11 answers null itself when no filter matches.
      const result: unknown = await answer;
      if (result === undefined || (result === null && answer === null)) throw exception;
      return result;
    },
  };
}

const rpcParams = {
  exchangeKeyForValue(type: number, data: unknown, args: unknown[]): unknown {
    if (type === CONTEXT) return args[1];
    if (type !== PAYLOAD) return null;
    if (typeof data !== 'string' || data === '') return args[0];
    // It comes from outside: only its own properties, so that `@Payload('constructor')` finds nothing.
    const payload = args[0] as object | null | undefined;
    return payload !== null && payload !== undefined && Object.hasOwn(payload, data) ? Reflect.get(payload, data) : undefined;
  },
};

/**
 * Guards, interceptors, pipes and filters given as classes which Nest has made no instances of, and would therefore
 * leave out without a word. So it is with objects of a factory or a value provider: Nest reads the decorators of
 * classes it instantiates itself.
 */
export function missingEnhancers(module: NestModule, type: { readonly prototype: object }, methodName: string): string[] {
  const method = Reflect.get(type.prototype, methodName) as object;
  const parameters = Object.values((Reflect.getMetadata(ROUTE_ARGS_METADATA, type, methodName) ?? {}) as Record<string, { pipes?: unknown[] }>);
  const enhancers = [
    ...ENHANCERS_METADATA.flatMap((key) => [type, method].flatMap((holder) => (Reflect.getMetadata(key, holder) ?? []) as unknown[])),
    ...parameters.flatMap(({ pipes }) => pipes ?? []),
  ];
  return enhancers.filter((it) => typeof it === 'function' && !module.injectables.has(it)).map((it) => (it as { name: string }).name);
}

function hasParameterDecorators(type: object, methodName: string): boolean {
  const metadata: unknown = Reflect.getMetadata(ROUTE_ARGS_METADATA, type, methodName);
  return typeof metadata === 'object' && metadata !== null && Object.keys(metadata).length > 0;
}

/**
 * Nest destroys modules in the order of their distance from the root and global ones last, so the drain of a global
 * module would start when the providers its handlers use have closed their databases. A distance below the root's
 * turns that round: this module's bootstrap hook runs after all others (handlers start in a complete application), and
 * its destroy hook before all others (they end in one).
 */
export function bootLastStopFirst(modules: ModulesContainer, provider: new (...args: never[]) => object): void {
  for (const module of modules.values()) if (module.providers.has(provider)) module.distance = -1;
}

/** Nest 11 answers false for every level unless levels were chosen; `fatal` is on whatever was chosen. */
export function isDebugEnabled(): boolean {
  return Logger.isLevelEnabled('debug') || !Logger.isLevelEnabled('fatal');
}
