import { ConfigurableModuleBuilder } from '@nestjs/common';
import { InvalidOptionsError } from '../errors/index.js';
import type { RedisStreamsOptions } from '../options.js';
import { REDIS_STREAMS_OPTIONS } from './tokens.js';

/** For `forRootAsync({ useClass })` and `useExisting`. */
export interface RedisStreamsOptionsFactory {
  createRedisStreamsOptions(): RedisStreamsOptions | Promise<RedisStreamsOptions>;
}

export interface RedisStreamsModuleExtras {
  /** Whether other modules may inject without importing. Default true. */
  isGlobal?: boolean;
}

export const { ConfigurableModuleClass: ConfigurableRedisStreamsModule, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisStreamsOptions>({ optionsInjectionToken: REDIS_STREAMS_OPTIONS })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createRedisStreamsOptions')
    .setExtras<RedisStreamsModuleExtras>({ isGlobal: true }, (definition, extras) => ({
      ...definition,
      global: extras.isGlobal ?? true,
    }))
    .build();

export type RedisStreamsModuleOptions = typeof OPTIONS_TYPE;
export type RedisStreamsModuleAsyncOptions = typeof ASYNC_OPTIONS_TYPE & {
  /** Names of the further connections, since their injection tokens must exist before the options do. */
  readonly connections?: readonly string[];
};

/** What a factory has returned; types do not keep it from returning nothing. @throws InvalidOptionsError when that is no object */
export function madeBy<T>(factory: string, made: T): T {
  if (typeof made === 'object' && made !== null && !Array.isArray(made)) return made;
  const got = Array.isArray(made) ? 'a list' : made === null || made === undefined ? String(made) : `a ${typeof made}`;
  throw new InvalidOptionsError([{ path: factory, message: `the factory must return an object of options, or a promise of one; it returned ${got}` }]);
}
