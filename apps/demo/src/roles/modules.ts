import { type DynamicModule, Module, type Provider, type Type } from '@nestjs/common';
import type { RoleConfig } from '../config.js';
import { LedgerWriter } from '../ledger/ledger-writer.js';
import { DataStreams } from '../orders/data-streams.js';
import { library } from './library.js';

interface Parts {
  readonly providers?: Provider[];
  readonly controllers?: Type[];
  readonly imports?: DynamicModule[];
}

@Module({})
export class RoleModule {
  /** Every role is this: the library, the data streams, the ledger, and its own part. */
  static of(config: RoleConfig, { providers = [], controllers = [], imports = [] }: Parts): DynamicModule {
    return {
      module: RoleModule,
      imports: [library(config, { lease: { handOver: config.handOver }, partition: { registrationWaitMs: 0 }, transport: { namespace: config.service } }), ...imports],
      providers: [DataStreams, LedgerWriter, ...providers],
      controllers,
    };
  }
}
