import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  getPartitionsToken, getStreamToken, InjectPartitions, InjectStream, type PartitionProducer, PartitionService, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf } from './support/fake-engine.js';

describe('registerStream', () => {
  it('tells the engine before it starts, in the root and in feature modules, and provides the producers where it is imported', async () => {
    @Injectable()
    class Sender {
      constructor(@InjectStream('refunds') readonly refunds: PartitionProducer, @InjectStream('clicks', 'web') readonly clicks: PartitionProducer) {}
    }
    @Module({
      imports: [RedisStreamsModule.registerStream([{ name: 'refunds', partitions: 4 }, { name: 'clicks', namespace: 'web', partitions: 2, connection: 'far' }])],
      providers: [Sender],
    })
    class Feature {}
    const far = { name: 'clicks', namespace: 'web', partitions: 2, connection: 'far' };
    await expect(appOf({ imports: [Feature] })).rejects.toThrow(/RedisStreamsStream:default\/web:clicks/);

    @Injectable()
    class FarSender {
      constructor(
        @InjectStream('refunds') readonly refunds: PartitionProducer,
        @InjectStream('clicks', { namespace: 'web', connection: 'far' }) readonly clicks: PartitionProducer,
      ) {}
    }
    @Module({ imports: [RedisStreamsModule.registerStream([{ name: 'refunds', partitions: 4 }, far])], providers: [FarSender] })
    class FarFeature {}
    const { app, engine } = await appOf({ imports: [RedisStreamsModule.registerStream({ name: 'payments', partitions: 12 }), FarFeature] });
    expect(engine.streams).toHaveLength(3);
    expect(engine.streams).toEqual(expect.arrayContaining([{ name: 'payments', partitions: 12 }, { name: 'refunds', partitions: 4 }, far]));
    expect(engine.calls).toEqual(['start']);
    const { refunds, clicks } = app.get(FarSender, { strict: false });
    expect(refunds).toEqual({ stream: 'refunds' });
    expect(clicks).toEqual({ connection: 'far', stream: 'clicks', namespace: 'web' });
    expect(app.get(getStreamToken('payments'), { strict: false })).toEqual({ stream: 'payments' });
  });

  it('async: settings from a factory, with what it asks to inject; the name cannot be changed by it', async () => {
    @Injectable()
    class Config {
      readonly partitions = 6;
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    const { app, engine } = await appOf({
      imports: [
        RedisStreamsModule.registerStreamAsync([
          {
            name: 'payments', imports: [ConfigModule], inject: [Config],
            useFactory: async ({ partitions }: Config) => ({ partitions, retention: { maxEntries: 10 }, name: 'other' }),
          },
          { name: 'clicks', namespace: 'web', connection: 'far', useFactory: () => ({ partitions: 1 }) },
        ]),
      ],
    });
    expect(engine.streams).toEqual([
      { name: 'payments', partitions: 6, retention: { maxEntries: 10 } },
      { name: 'clicks', namespace: 'web', connection: 'far', partitions: 1 },
    ]);
    expect(app.get(getStreamToken('clicks', { namespace: 'web', connection: 'far' }), { strict: false })).toMatchObject({ stream: 'clicks' });
  });

  it('a registration with wrong options ends the creation of the application and says what is wrong', async () => {
    const made = Test.createTestingModule({
      imports: [RedisStreamsModule.forRoot(), RedisStreamsModule.registerStream({ name: 'pay ments', partitions: 0, retension: {} } as never)],
    }).compile();
    await expect(made).rejects.toThrow(/name: must be 1-200 .*[\s\S]*partitions: must be a whole number/);
  });

  it('two of one application that differ are refused, equal ones are not', async () => {
    const compile = (partitions: number) => Test.createTestingModule({
      imports: [RedisStreamsModule.forRoot(), RedisStreamsModule.registerStream({ name: 'p', partitions: 3 }), RedisStreamsModule.registerStream({ name: 'p', partitions })],
    }).compile();
    await expect(compile(4)).rejects.toThrow(/stream "p": is registered twice in this application, and differs: partitions: 4 here, 3 as registered/);
    await (await compile(3)).close();
  });
});

it('registerProducer provides producers and registers nothing', async () => {
  @Injectable()
  class Sender {
    constructor(@InjectStream('payments') readonly payments: PartitionProducer, @Inject(getStreamToken('clicks', 'web')) readonly clicks: PartitionProducer) {}
  }
  const { app, engine } = await appOf({
    imports: [RedisStreamsModule.registerProducer('payments'), RedisStreamsModule.registerProducer([{ name: 'clicks', namespace: 'web' }])],
    providers: [Sender],
  });
  expect(engine.streams).toEqual([]);
  expect(app.get(Sender)).toEqual({ payments: { stream: 'payments' }, clicks: { stream: 'clicks', namespace: 'web' } });
});

it('PartitionService: by class, by connection, and what it calls', async () => {
  @Injectable()
  class Ops {
    constructor(
      readonly partitions: PartitionService, @InjectPartitions() readonly same: PartitionService, @InjectPartitions('far') readonly far: PartitionService,
    ) {}
  }
  const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot({ connections: { far: { port: 1 } } })], providers: [Ops] }).compile();
  const { partitions, same, far } = app.get(Ops);
  expect(partitions).toBeInstanceOf(PartitionService);
  expect(same).toBe(partitions);
  expect(far).not.toBe(partitions);
  expect(far).toBe(app.get(getPartitionsToken('far')));
  await app.close();

  const calls: unknown[][] = [];
  const client = new Proxy({}, { get: (_target, name) => (...args: unknown[]) => (calls.push([name, ...args]), name) });
  const service = new PartitionService(client as never);
  const group = { stream: 's', group: 'g' };
  const expected: Array<[keyof PartitionService, ...unknown[]]> = [
    ['send', 's', { data: 1 }], ['sendMany', 's', [{ data: 1 }]], ['producer', 's'], ['register', { name: 's', partitions: 1 }],
    ['assignment', group], ['members', group], ['lag', group], ['sizes', 's'], ['pause', group, [1]], ['resume', group, [1]],
    ['seek', group, 'earliest', [1]], ['deadLetters', group, { limit: 1 }], ['consumer', group], ['shutdown', group],
  ];
  for (const [name, ...args] of expected) expect((service[name] as (...args: unknown[]) => unknown)(...args)).toBe(name);
  expect(calls).toEqual(expected);
  expect(Object.getOwnPropertyNames(PartitionService.prototype).toSorted()).toEqual(['constructor', ...expected.map(([name]) => name)].toSorted());
});
