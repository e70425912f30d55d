import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError } from '../errors/index.js';
import { bootLastStopFirst } from './nest-compat.js';
import { HandlerRegistrar } from './registrar.js';

/** Is in each import of the module. Another copy of the library, ESM beside CommonJS say, has other classes, but this too. */
export const IMPORTED = Symbol.for('nestjs-redis-streams:imported');

/**
 * Start: after the bootstrap hooks of all other modules. Drain: in `onModuleDestroy`, before the destroy hooks of all
 * other modules (see {@link bootLastStopFirst}), and awaited, so the providers that handlers use are alive until the
 * last handler has ended or `shutdown.drainMs` is over. Close: in `onApplicationShutdown`, when the HTTP listener and
 * the microservices are closed, so that a request answered during the stop can still announce.
 */
@Injectable()
export class RedisStreamsLifecycle implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly registrar: HandlerRegistrar,
    private readonly modules: ModulesContainer,
  ) {
    // Here and not in a hook: Nest sorts the modules once, before the first hook.
    bootLastStopFirst(modules, RedisStreamsLifecycle);
  }

  async onApplicationBootstrap(): Promise<void> {
    try {
      this.refuseSecondModule();
      this.registrar.register();
      await this.engine.start();
    } catch (error) {
      // The application will not come up, and Nest 11 runs no destroy hooks after that: leave no connection behind,
      // such as one opened by an announcement in another module's bootstrap hook.
      await this.engine.stop().catch(() => undefined);
      throw error;
    }
  }

  async onModuleDestroy(): Promise<void> {
    await this.engine.drain();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.engine.stop();
  }

  /** Each import of its own would find all handlers and run every stream's twice over. */
  private refuseSecondModule(): void {
    const imports = [...this.modules.values()].filter(({ providers }) => providers.has(IMPORTED));
    const count = imports.length;
    if (count < 2) return;
    const others = imports.some(({ providers }) => !providers.has(RedisStreamsLifecycle));
    throw new InvalidOptionsError([{
      path: 'RedisStreamsModule',
      message: `forRoot or forRootAsync is imported ${count} times; import it once, in the root module, with all connections${others ? '. There are several copies of the library, by import and by require perhaps' : ''}`,
    }]);
  }
}
