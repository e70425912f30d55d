import { Injectable } from '@nestjs/common';
import { type ContextId, ContextIdFactory, ExternalContextCreator, ModuleRef } from '@nestjs/core';
import type { DiscoveredHandler } from './explorer.js';
import type { HandlerProxy } from './handler-call.js';
import { HandlerRequest } from './handler-request.js';
import { proxyFactory } from './nest-compat.js';

/** Turns a discovered method into a function that runs it with everything Nest puts around a handler. */
@Injectable()
export class HandlerBinder {
  constructor(private readonly creator: ExternalContextCreator) {}

  /**
   * Must be called when all providers exist: global enhancers are looked up here.
   * @param pattern what `HandlerRequest.pattern` says
   */
  bind(handler: DiscoveredHandler, pattern: string): HandlerProxy {
    const { wrapper, hook } = handler;
    const plain = hook === 'message' ? 'data, context' : 'context';
    const makeProxy = proxyFactory({ ...handler, plain, creator: this.creator });
    if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) return makeProxy(wrapper.instance as object, undefined, wrapper.id);

    // The ModuleRef of the module that holds the class, so that one provided twice resolves where it was found.
    // Links of a ModuleRef cover controllers as well as providers.
    const moduleRef = handler.module.providers.get(ModuleRef)?.instance as ModuleRef;
    const isDurable = wrapper.isDependencyTreeDurable();
    return async (data, context) => {
      const contextId = register(moduleRef, new HandlerRequest(pattern, data, context), isDurable);
      const instance = await moduleRef.resolve<object, object>(wrapper.token as symbol, contextId, { strict: true });
      return makeProxy(instance, contextId, wrapper.id)(data, context);
    };
  }
}

/** As Nest's listeners do it, so that a durable-provider strategy written for microservices works unchanged. */
function register(moduleRef: ModuleRef, request: HandlerRequest, isDurable: boolean): ContextId {
  const contextId = ContextIdFactory.getByRequest(request);
  const value: unknown = isDurable ? contextId.payload : Object.assign(request, contextId.payload);
  moduleRef.registerRequestByContextId(value, contextId);
  return contextId;
}
