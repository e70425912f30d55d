import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { REDIS_STREAMS_TRANSPORT, RedisStreamsContext, type RedisStreamsServer } from 'nestjs-redis-streams/transport';
import { EMPTY, interval, type Observable, take } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ask, askAll, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
let log: string[] = [];
const unhandled: unknown[] = [];
const listen = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  log = [];
  unhandled.length = 0;
  process.on('unhandledRejection', listen);
});
afterEach(() => {
  process.off('unhandledRejection', listen);
  expect(unhandled).toEqual([]);
});

@Controller()
class Handlers {
  @EventPattern<unknown>('event')
  async event(@Payload() how: string, @Ctx() context: RedisStreamsContext): Promise<void> {
    log.push(`run ${context.attempt}`);
    if (how === 'retry' && context.attempt < 3) throw new Error('again');
  }
  @EventPattern<unknown>('several')
  one(): void {
    log.push('one');
  }
  @EventPattern<unknown>('several')
  async two(): Promise<void> {
    log.push('two');
  }
  @MessagePattern('one')
  value(@Payload() data: unknown): unknown {
    log.push('run');
    return data;
  }
  @MessagePattern('many')
  many(): Observable<number> {
    return interval(3).pipe(take(5));
  }
  @MessagePattern('empty')
  empty(): Observable<never> {
    return EMPTY;
  }
  @MessagePattern('fails')
  fails(): never {
    throw new Error('no');
  }
}

type Done = () => Promise<unknown>;
type Hook = (transportId: symbol, context: RedisStreamsContext, done: Done) => unknown;

function withHooks(start: Hook, end: (transportId: symbol, context: RedisStreamsContext) => unknown = (_, { pattern }) => log.push(`end ${pattern}`)) {
  return (_app: unknown, server: RedisStreamsServer): void => {
    server.setOnProcessingStartHook(start as never);
    server.setOnProcessingEndHook(end as never);
  };
}
const told: Hook = (id, context, done) => {
  log.push(`start ${context.pattern}`);
  expect(id).toBe(REDIS_STREAMS_TRANSPORT);
  expect(context).toBeInstanceOf(RedisStreamsContext);
  return done();
};
const ends = (): number => log.filter((line) => line.startsWith('end')).length;

describe('processing hooks', () => {
  it('are called once for each request, before and after: of one value, many, none, a failure', async () => {
    await net.serve([Handlers], {}, withHooks(told));
    const client = net.client();
    expect(await ask(client, 'one', 1)).toBe(1);
    expect(await askAll(client, 'many', 1)).toHaveLength(5);
    expect(await askAll(client, 'empty', 1)).toEqual([]);
    await failureOf(ask(client, 'fails', 1));
    await waitUntil(() => ends() === 4, { what: 'all have ended' });
    expect(log).toEqual(['start one', 'run', 'end one', 'start many', 'end many', 'start empty', 'end empty', 'start fails', 'end fails']);
  });

  it('once for each delivery of an event, also with several handlers', async () => {
    await net.serve([Handlers], {}, withHooks(told));
    const client = net.client();
    await client.emitAsync('event', 'fine');
    await waitUntil(() => ends() === 1, { what: 'it has ended' });
    await client.emitAsync('several', 'x');
    await waitUntil(() => ends() === 2, { what: 'it has ended' });
    expect(log.toSpliced(4, 2, 'both')).toEqual(['start event', 'run 1', 'end event', 'start several', 'both', 'end several']);
    log = [];
    await client.emitAsync('event', 'retry');
    await waitUntil(() => ends() === 3, { what: 'it has ended three times' });
    expect(log).toEqual([1, 2, 3].flatMap((n) => ['start event', `run ${n}`, 'end event']));
  });

  it('may begin the work later, and need not give its promise back', async () => {
    await net.serve([Handlers], {}, withHooks((_id, _context, done) => void setTimeout(done, 30)));
    const client = net.client();
    expect(await ask(client, 'one', 'late')).toBe('late');
    await client.emitAsync('event', 'retry');
    await waitUntil(() => log.includes('run 3'), { what: 'it has run' });
    await waitUntil(() => ends() === 4, { what: 'all have ended' });
  });

  it('may call `done` twice: the handler runs once', async () => {
    await net.serve([Handlers], {}, withHooks(async (_id, _context, done) => Promise.all([done(), done()])));
    expect(await ask(net.client(), 'one', 1)).toBe(1);
    await waitUntil(() => ends() > 0, { what: 'it has ended' });
    expect(log).toEqual(['run', 'end one']);
  });

  it.each([
    ['throws', () => { throw new Error('hook'); }],
    ['rejects', async () => { throw new Error('hook'); }],
    // oxlint-disable-next-line unicorn/no-thenable
    ['rejects as a thenable', () => ({ then: (_: unknown, reject: (error: Error) => void) => reject(new Error('hook')) })],
  ] as ReadonlyArray<[string, Hook]>)('a start hook that %s: the message is tried again, and nothing hangs', async (_name, broken) => {
    let calls = 0;
    await net.serve([Handlers], {}, withHooks((id, context, done) => (++calls <= 2 ? broken(id, context, done) : done())));
    const client = net.client();
    await client.emitAsync('event', 'fine');
    await waitUntil(() => ends() === 1, { what: 'it has ended' });
    expect(log).toEqual(['run 3', 'end event']);
    calls = 0;
    expect(await ask(client, 'one', 'reply')).toBe('reply');
  });

  it('a start hook that fails after `done` changes nothing', async () => {
    await net.serve([Handlers], {}, withHooks(async (_id, _context, done) => {
      await done();
      throw new Error('after');
    }));
    const client = net.client();
    await client.emitAsync('event', 'fine');
    expect(await ask(client, 'one', 1)).toBe(1);
    await waitUntil(() => ends() === 2, { what: 'both have ended' });
    expect(log.filter((line) => line.startsWith('run'))).toEqual(['run 1', 'run']);
  });

  it('an end hook that throws ends neither the process nor the message', async () => {
    await net.serve([Handlers], {}, withHooks((_id, _context, done) => void done(), () => {
      log.push('end');
      throw new Error('end hook');
    }));
    const client = net.client();
    expect(await ask(client, 'one', 1)).toBe(1);
    await client.emitAsync('event', 'fine');
    await waitUntil(() => ends() === 2, { what: 'both have ended' });
    expect(log).toEqual(['run', 'end', 'run 1', 'end']);
  });
});
