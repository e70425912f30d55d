import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { getQueuesToken, getQueueToken, InjectQueue, InjectQueues, type QueueProducer, QueueService, RedisStreamsModule } from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf } from './support/fake-engine.js';

describe('registerQueue', () => {
  it('tells the engine before it starts, in the root and in feature modules, and provides the producers where it is imported', async () => {
    const far = { name: 'clicks', namespace: 'web', shards: 2, connection: 'far' };
    @Injectable()
    class Sender {
      constructor(@InjectQueue('mails') readonly mails: QueueProducer, @InjectQueue('clicks', { namespace: 'web', connection: 'far' }) readonly clicks: QueueProducer) {}
    }
    @Module({ imports: [RedisStreamsModule.registerQueue([{ name: 'mails', shards: 4 }, { ...far, producer: { waitReplicas: 1 } }])], providers: [Sender] })
    class Feature {}
    const { app, engine } = await appOf({ imports: [RedisStreamsModule.registerQueue({ name: 'jobs', dedupeMs: 0 }), Feature] });
    expect(engine.registeredQueues).toHaveLength(3);
    expect(engine.registeredQueues).toEqual(expect.arrayContaining([{ name: 'jobs', dedupeMs: 0 }, { name: 'mails', shards: 4 }, far]));
    expect(engine.calls).toEqual(['start']);
    const { mails, clicks } = app.get(Sender, { strict: false });
    expect(mails).toEqual({ queue: 'mails' });
    expect(clicks).toEqual({ connection: 'far', queue: 'clicks', namespace: 'web', options: { waitReplicas: 1 } });
    expect(app.get(getQueueToken('jobs'), { strict: false })).toEqual({ queue: 'jobs' });
  });

  it('a producer of another place is not the one that was provided', async () => {
    @Injectable()
    class Sender {
      constructor(@InjectQueue('mails', 'web') readonly mails: QueueProducer) {}
    }
    const imports = [RedisStreamsModule.registerQueue({ name: 'mails', namespace: 'web', connection: 'far' })];
    await expect(appOf({ imports, providers: [Sender] })).rejects.toThrow(/RedisStreamsQueue:default\/web:mails/);
  });

  it('async: settings from a factory, with what it asks to inject; the name cannot be changed by it', async () => {
    @Injectable()
    class Config {
      readonly shards = 6;
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    const { app, engine } = await appOf({
      imports: [
        RedisStreamsModule.registerQueueAsync([
          {
            name: 'jobs', imports: [ConfigModule], inject: [Config],
            useFactory: async ({ shards }: Config) => ({ shards, dedupeMs: 1_000, name: 'other', producer: { maxPending: 5 } }),
          },
          { name: 'clicks', namespace: 'web', connection: 'far', useFactory: () => ({}) },
        ]),
      ],
    });
    expect(engine.registeredQueues).toEqual([
      { name: 'jobs', namespace: undefined, connection: undefined, shards: 6, dedupeMs: 1_000 }, { name: 'clicks', namespace: 'web', connection: 'far' },
    ]);
    expect(app.get(getQueueToken('jobs'), { strict: false })).toEqual({ queue: 'jobs', options: { maxPending: 5 } });
    expect(app.get(getQueueToken('clicks', { namespace: 'web', connection: 'far' }), { strict: false })).toMatchObject({ queue: 'clicks' });
  });

  it('wrong options end the creation of the application and say what is wrong', async () => {
    const compile = (queue: object) => Test.createTestingModule({ imports: [RedisStreamsModule.forRoot(), RedisStreamsModule.registerQueue(queue as never)] }).compile();
    await expect(compile({ name: 'jo bs', shards: 0, sharts: 3 })).rejects.toThrow(/sharts: is not an option[\s\S]*name: must be 1-200 .*[\s\S]*shards: must be a whole number/);
    await expect(compile({ name: 'jobs', producer: { maxPending: 0 } })).rejects.toThrow(/producer of "jobs"\.maxPending: must be/);
  });

  it('two of one application that differ are refused, equal ones are not', async () => {
    const compile = (shards: number) => Test.createTestingModule({
      imports: [RedisStreamsModule.forRoot(), RedisStreamsModule.registerQueue({ name: 'p', shards: 3 }), RedisStreamsModule.registerQueue({ name: 'p', shards })],
    }).compile();
    await expect(compile(4)).rejects.toThrow(/queue "p": is registered twice in this application, and differs: shards: 4 here, 3 as registered/);
    await (await compile(3)).close();
  });
});

it('registerQueueProducer provides producers and registers nothing', async () => {
  @Injectable()
  class Sender {
    constructor(@InjectQueue('jobs') readonly jobs: QueueProducer, @Inject(getQueueToken('clicks', 'web')) readonly clicks: QueueProducer) {}
  }
  const { app, engine } = await appOf({
    imports: [RedisStreamsModule.registerQueueProducer('jobs'), RedisStreamsModule.registerQueueProducer([{ name: 'clicks', namespace: 'web', producer: { maxPending: 5 } }])],
    providers: [Sender],
  });
  expect(engine.registeredQueues).toEqual([]);
  expect(app.get(Sender)).toEqual({ jobs: { queue: 'jobs' }, clicks: { queue: 'clicks', namespace: 'web', options: { maxPending: 5 } } });
});

it('QueueService: by class, by connection, and what it calls', async () => {
  @Injectable()
  class Ops {
    constructor(readonly queues: QueueService, @InjectQueues() readonly same: QueueService, @InjectQueues('far') readonly far: QueueService) {}
  }
  const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot({ connections: { far: { port: 1 } } })], providers: [Ops] }).compile();
  const { queues, same, far } = app.get(Ops);
  expect(queues).toBeInstanceOf(QueueService);
  expect(same).toBe(queues);
  expect(far).not.toBe(queues);
  expect(far).toBe(app.get(getQueuesToken('far')));
  await app.close();

  const calls: unknown[][] = [];
  const recorder = (): object => new Proxy({}, { get: (_target, name) => (...args: unknown[]) => (calls.push([name, ...args]), name === 'queue' ? recorder() : name) });
  const service = new QueueService(recorder() as never);
  const expected: Array<[keyof QueueService, ...unknown[]]> = [
    ['register', { name: 'q' }], ['stats', 'q', 'g'], ['pause', 'q', 'g'], ['resume', 'q', 'g'], ['removeGroup', 'q', 'g'], ['consumer', 'q', 'g'], ['shutdown', 'q', 'g'],
  ];
  for (const [name, ...args] of expected) expect((service[name] as (...args: unknown[]) => unknown)(...args)).toBe(name);
  expect(calls.splice(0)).toEqual(expected);
  expect(service.send('q', 1, { id: 'x' })).toBe('send');
  expect(service.sendMany('q', [{ data: 1 }])).toBe('sendMany');
  service.queue({ queue: 'q' }, { maxPending: 1 });
  expect(calls).toEqual([['queue', 'q'], ['send', 1, { id: 'x' }], ['queue', 'q'], ['sendMany', [{ data: 1 }]], ['queue', { queue: 'q' }, { maxPending: 1 }]]);
  const names = [...expected.map(([name]) => name), 'constructor', 'queue', 'send', 'sendMany'];
  expect(Object.getOwnPropertyNames(QueueService.prototype).toSorted()).toEqual(names.toSorted());
});
