import { type DynamicModule, Module, type Provider, type Type } from '@nestjs/common';
import type { RoleConfig } from '../config.js';
import { ACK_TIMEOUT_MS } from '../rooms/room.js';
import { library } from './library.js';

@Module({})
export class RoomsModule {
  /** The gateways and the ticker are this: the library with its rooms, and their own part. */
  static of(config: RoleConfig, providers: Provider[], controllers: Type[] = []): DynamicModule {
    return {
      module: RoomsModule,
      // One that is out stays out until its client asks again: who does not answer is not there.
      imports: [library(config, { fanout: { namespace: config.service, ackTimeoutMs: ACK_TIMEOUT_MS, whenEjected: 'leave' } })],
      providers, controllers,
    };
  }
}
