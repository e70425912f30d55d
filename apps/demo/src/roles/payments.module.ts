import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { RedisStreamsModule } from 'nestjs-redis-streams';
import type { RoleConfig } from '../config.js';
import { Bank } from '../payments/bank.js';
import { PARTITIONS, PAYMENTS } from '../payments/payment.js';
import { library } from './library.js';

@Module({})
export class PaymentsModule {
  /** Workers and the payer are this: the library, the stream, the bank, and their own part. */
  static of(config: RoleConfig, providers: Provider[]): DynamicModule {
    return {
      module: PaymentsModule,
      imports: [
        library(config, { partition: { namespace: config.service } }),
        RedisStreamsModule.registerStream({ name: PAYMENTS, partitions: PARTITIONS }),
      ],
      providers: [Bank, ...providers],
    };
  }
}
