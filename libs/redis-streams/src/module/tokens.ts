import { Inject } from '@nestjs/common';

/** Name of the connection given as `connection`, when none is named. */
export const DEFAULT_CONNECTION = 'default';

/** Injection token of the options given to `forRoot` or made by `forRootAsync`. */
export const REDIS_STREAMS_OPTIONS = Symbol('REDIS_STREAMS_OPTIONS');

/** Injection token of the {@link LeaseService} of a named connection; without a name, of the default one. */
export function getLeasesToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsLeases:${connection}`;
}

/** Injects the {@link LeaseService} of a named connection; without a name, of the default one. */
export function InjectLeases(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLeasesToken(connection));
}
