import { Injectable, Logger } from '@nestjs/common';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import { type HandlerMetadata, handlersOf } from './decorators/handler-metadata.js';
import type { InstanceWrapper, NestModule } from './nest-compat.js';

/** Where a decorated method is, and everything needed to call it. */
interface HandlerPlace {
  readonly moduleKey: string;
  readonly module: NestModule;
  readonly wrapper: InstanceWrapper;
  readonly type: new (...args: never[]) => object;
  readonly methodName: string;
  /** `OrderHandlers.process`, for messages. */
  readonly label: string;
}
export type DiscoveredHandler = HandlerMetadata & HandlerPlace;

/**
 * Finds decorated methods on the providers and controllers of all modules, inherited ones included.
 * A class that several modules provide has several instances; its methods are bound once, to the first, with a
 * warning: to run every stream or message once per instance cannot be meant. Modules loaded lazily after the start are not seen.
 */
@Injectable()
export class HandlerExplorer {
  private readonly logger = new Logger('RedisStreams');
  private readonly scanner = new MetadataScanner();

  constructor(private readonly modules: ModulesContainer) {}

  explore(): DiscoveredHandler[] {
    const found: DiscoveredHandler[] = [];
    const boundIn = new Map<unknown, NestModule>();
    for (const [moduleKey, module] of this.modules) {
      for (const wrapper of [...module.providers.values(), ...module.controllers.values()]) {
        const handlers = this.handlersOf(wrapper, moduleKey, module);
        const first = handlers[0];
        if (first === undefined) continue;
        const elsewhere = boundIn.get(first.type);
        if (elsewhere === undefined) found.push(...handlers);
        else {
          this.logger.warn(
            `${first.type.name} is provided more than once (${elsewhere.name}, ${module.name}); ` +
              `its stream handlers run on the instance of ${elsewhere.name} only. Provide it in one module and export it.`,
          );
        }
        boundIn.set(first.type, elsewhere ?? module);
      }
    }
    return found;
  }

  private handlersOf(wrapper: InstanceWrapper, moduleKey: string, module: NestModule): DiscoveredHandler[] {
    const prototype = prototypeOf(wrapper);
    if (prototype === undefined) return [];
    const type = prototype.constructor as HandlerPlace['type'];
    return this.scanner.getAllMethodNames(prototype).flatMap((methodName) => {
      const method: unknown = Reflect.get(prototype, methodName);
      if (typeof method !== 'function') return [];
      const place = { moduleKey, module, wrapper, type, methodName, label: `${type.name}.${methodName}` };
      return handlersOf(method).map((metadata) => ({ ...metadata, ...place }));
    });
  }
}

/** Of the class for class providers (scoped ones have no usable instance), of the instance for values and factories. */
function prototypeOf(wrapper: InstanceWrapper): object | undefined {
  // `useExisting` shows a second name of a provider that is met under its first one.
  if (wrapper.isAlias) return undefined;
  const holder: unknown = wrapper.isNotMetatype ? Object.getPrototypeOf(Object(wrapper.instance ?? {})) : wrapper.metatype?.prototype;
  return typeof holder === 'object' && holder !== null && holder !== Object.prototype ? holder : undefined;
}
