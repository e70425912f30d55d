import type { DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { InvalidOptionsError, RedisStreamsModule } from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';

class Nothing {
  createRedisStreamsOptions(): Promise<never> {
    return Promise.resolve(undefined as never);
  }
}

describe.each<[string, unknown]>([['undefined', undefined], ['null', null], ['a string', 'redis://127.0.0.1'], ['a list', []]])('a factory that returns %s', (got, value) => {
  const wrong = value as never;
  it.each<[string, () => DynamicModule]>([
    ['RedisStreamsModule.forRootAsync', () => RedisStreamsModule.forRootAsync({ useFactory: () => Promise.resolve(wrong) })],
    ['registerQueueAsync of "mails"', () => RedisStreamsModule.registerQueueAsync({ name: 'mails', useFactory: () => wrong })],
    ['registerStreamAsync of "orders"', () => RedisStreamsModule.registerStreamAsync({ name: 'orders', useFactory: () => Promise.resolve(wrong) })],
  ])('%s says so', async (path, imported) => {
    const imports = path.includes('forRoot') ? [imported()] : [RedisStreamsModule.forRoot(), imported()];
    const failed: unknown = await Test.createTestingModule({ imports }).compile().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(InvalidOptionsError);
    expect((failed as InvalidOptionsError).problems).toEqual([
      { path, message: `the factory must return an object of options, or a promise of one; it returned ${got}` },
    ]);
  });
});

it('so does one that is a class', async () => {
  await expect(Test.createTestingModule({ imports: [RedisStreamsModule.forRootAsync({ useClass: Nothing })] }).compile()).rejects.toThrow(InvalidOptionsError);
});
