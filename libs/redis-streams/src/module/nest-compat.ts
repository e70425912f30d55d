import { Logger } from '@nestjs/common';
import type { ContextId, DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';
import { isObservable, lastValueFrom, type Observable } from 'rxjs';

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
}
export type HandlerProxy = (data: unknown, context: unknown) => Promise<unknown>;
type Method = (...args: unknown[]) => unknown;

interface FilterHandler {
  invokeCustomFilters(exception: unknown, host: unknown): unknown;
}
interface CreatorInternals {
  filtersContextCreator: { create(...args: unknown[]): FilterHandler };
}

/** A function that makes, for one instance of the handler's class, the method with everything Nest puts around it. */
export function proxyFactory(spec: ProxySpec): (instance: object, contextId?: ContextId, inquirerId?: string) => HandlerProxy {
  const creator = Object.assign(Object.create(spec.creator) as ExternalContextCreator, overrides(spec));
  return (instance, contextId, inquirerId) => {
    const method = (instance as Record<string, Method>)[spec.methodName] as Method;
    const proxy = creator.create(
      instance, method, spec.methodName, ROUTE_ARGS_METADATA, rpcParams, contextId, inquirerId, undefined, 'rpc',
    ) as HandlerProxy;
    return async (data, context) => completed(await proxy(data, context));
  };
}

function overrides({ creator, moduleKey, methodName, type }: ProxySpec): object {
  const filters = (creator as unknown as CreatorInternals).filtersContextCreator;
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
    // Without a default, an Observable that completes empty fails with EmptyError.
    transformToResult: (result: unknown) => completed(result),
    filtersContextCreator: {
      create: (...args: unknown[]) => quietFilters(filters.create(...args)),
    },
    ...(hasParameterDecorators(type, methodName)
      ? {}
      : {
          // Nest would call an undecorated method with (info, lease). It is to get the lease alone; and the arguments
          // that guards and interceptors see must stay as they are, and `getHandler()` the method itself.
          createPipesFn: () => async (args: unknown[], _data: unknown, context: unknown) => void (args[0] = context),
        }),
  };
}

/**
 * Nest's own handler logs every exception no filter took, with its stack, and rethrows. The engine reports each
 * failure with stream, attempt and token, so that line would only say it twice. And 11 takes any falsy, 12 only an
 * undefined return for "not handled": here it is undefined in both, also for async filters.
 */
function quietFilters(handler: FilterHandler): { next(exception: unknown, host: unknown): Promise<unknown> } {
  return {
    async next(exception, host) {
      const noFilters = (handler as unknown as { filters?: unknown[] }).filters?.length === 0;
      const answer = noFilters ? undefined : handler.invokeCustomFilters(exception, host);
      // Nest 11 answers null itself when no filter matches.
      const result: unknown = await answer;
      if (result === undefined || (result === null && answer === null)) throw exception;
      return result;
    },
  };
}

/** Waits until a returned Observable is complete; anything else is its own result. */
function completed(result: unknown): unknown {
  return isObservable(result) ? lastValueFrom(result as Observable<unknown>, { defaultValue: undefined }) : result;
}

const rpcParams = {
  exchangeKeyForValue(type: number, data: unknown, args: unknown[]): unknown {
    if (type === CONTEXT) return args[1];
    if (type !== PAYLOAD) return null;
    if (typeof data !== 'string' || data === '') return args[0];
    // Info comes from outside: only its own properties, so that `@Payload('constructor')` finds nothing.
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
