import {
  type CallHandler, type CanActivate, Catch, type ExceptionFilter, type ExecutionContext, Injectable, type NestInterceptor, UseFilters, UseGuards, UseInterceptors,
} from '@nestjs/common';
import { OnRoomMessage, OnStreamAssigned, PartitionHandler, type QueueContext, QueueHandler } from 'nestjs-redis-streams';
import { catchError, concat, from, lastValueFrom, map, Observable, of, Subject } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { appOf, fakeLease, fakeMessage, fakeQueueMessage, fakeRoomMessage } from './support/fake-engine.js';

const OVER = new Error('it took too long');
let open = 0;
let seen: unknown[] = [];
beforeEach(() => {
  open = 0;
  seen = [];
});

const endless = (): Observable<number> => new Observable((subscriber) => {
  open++;
  subscriber.next(1);
  return () => void open--;
});

@Injectable() class Open implements CanActivate { canActivate(): boolean { return true; } }
@Injectable()
class Answering implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => [value]), catchError((error: unknown) => (seen.push(['interceptor', error]), of('made good'))));
  }
}
@Injectable()
class Passing implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => [value]));
  }
}
@Injectable()
class Apart implements NestInterceptor {
  async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    try {
      return of(await lastValueFrom(next.handle()));
    } finally {
      seen.push('interceptor is over');
    }
  }
}
@Catch()
class Everything implements ExceptionFilter {
  catch(error: unknown): string {
    seen.push(['filter', error]);
    return 'answered';
  }
}

function deferred(): { readonly promise: Promise<string>; resolve(value: string): void } {
  let resolve: (value: string) => void = () => undefined;
  const promise = new Promise<string>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** A message of a queue whose signal is in our hands. */
function message(): { context: QueueContext; abort: () => void; asked: () => number } {
  const controller = new AbortController();
  let asked = 0;
  const context = Object.defineProperty({ ...fakeQueueMessage(1) }, 'signal', { get: () => (asked++, controller.signal) });
  return { context, abort: () => controller.abort(OVER), asked: () => asked };
}

it('an endless one of any capability ends with the signal', async () => {
  @Injectable()
  class Handlers {
    @QueueHandler('jobs') job(): unknown { return endless(); }
    @PartitionHandler({ stream: 'orders', group: 'g' }) order(): unknown { return Promise.resolve(endless()); }
    @OnRoomMessage('lobby') said(): unknown { return endless(); }
    @OnStreamAssigned('files') file(): unknown { return endless(); }
  }
  const { engine } = await appOf({ providers: [Handlers] });
  const controller = new AbortController();
  const own = { signal: controller.signal };
  const runs = [
    engine.work('jobs', 1, { ...fakeQueueMessage(1), ...own }),
    engine.deliver('orders', 1, fakeMessage(1, own)),
    ...engine.show('lobby', 1, { ...fakeRoomMessage(1), ...own }),
    engine.assign('files', { ...fakeLease(), ...own }),
  ];
  const outcomes = Promise.allSettled(runs);
  await waitUntil(() => open === 4, { what: 'all are subscribed' });
  controller.abort(OVER);
  expect(open).toBe(0);
  expect(await outcomes).toEqual(runs.map(() => ({ status: 'rejected', reason: OVER })));
});

describe.each<[string, ...Array<MethodDecorator & ClassDecorator>]>([
  ['nothing'], ['a guard', UseGuards(Open)], ['an interceptor', UseInterceptors(Answering)], ['a filter', UseFilters(Everything)],
  ['guard, interceptor and filter', UseGuards(Open), UseInterceptors(Passing, Answering), UseFilters(Everything)],
  ['an interceptor that subscribes apart', UseInterceptors(Apart), UseFilters(Everything)],
])('behind %s', (what, ...enhancers) => {
  const around = (type: new () => object): void => enhancers.forEach((enhance) => enhance(type));

  it('an endless one is unsubscribed and fails with the reason, which nothing makes a result of', async () => {
    @Injectable()
    class Jobs {
      @QueueHandler('jobs') job(): unknown { return endless(); }
    }
    around(Jobs);
    const { engine } = await appOf({ providers: [Jobs] });
    const { context, abort } = message();
    const run = Promise.resolve(engine.work('jobs', 1, context));
    run.catch(() => undefined);
    await waitUntil(() => open === 1, { what: 'it is subscribed' });
    abort();
    expect(open).toBe(0);
    await expect(run).rejects.toBe(OVER);
    if (what.includes('apart')) await waitUntil(() => seen.length === 1, { what: 'the interceptor has heard' });
    expect(seen).toEqual(what.includes('apart') ? ['interceptor is over'] : []);
  });

  it('one that comes after the signal is not subscribed', async () => {
    @Injectable()
    class Jobs {
      @QueueHandler('jobs') job(): unknown { return late.promise.then(endless); }
    }
    const late = deferred();
    around(Jobs);
    const { engine } = await appOf({ providers: [Jobs] });
    const { context, abort } = message();
    abort();
    const run = Promise.resolve(engine.work('jobs', 1, context));
    late.resolve('');
    await expect(run).rejects.toBe(OVER);
    expect(open).toBe(0);
  });

  it('a promise is waited for whatever the signal says, which nobody asks for', async () => {
    const work = deferred();
    @Injectable()
    class Jobs {
      @QueueHandler('jobs') job(): unknown { return work.promise; }
    }
    around(Jobs);
    const { engine } = await appOf({ providers: [Jobs] });
    const { context, abort, asked } = message();
    let isOver = false;
    const run = Promise.resolve(engine.work('jobs', 1, context)).finally(() => (isOver = true));
    abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    work.resolve('done');
    expect(String(await run)).toBe('done');
    expect(asked()).toBe(0);
  });

  it('a teardown that throws is what it fails with, and ends no process', async () => {
    const torn = new Error('torn');
    @Injectable()
    class Jobs {
      @QueueHandler('jobs')
      job(): unknown {
        return new Observable(() => (open++, () => { throw torn; }));
      }
    }
    around(Jobs);
    const { engine } = await appOf({ providers: [Jobs] });
    const { context, abort } = message();
    const run = Promise.resolve(engine.work('jobs', 1, context));
    run.catch(() => undefined);
    await waitUntil(() => open === 1, { what: 'it is subscribed' });
    abort();
    await expect(run).rejects.toMatchObject({ errors: [torn] });
  });
});

it('filters and interceptors see errors that come late; nothing hears of a signal afterwards', async () => {
  const own = new Error('own');
  const values = new Subject<number>();
  @Injectable()
  class Jobs {
    @UseFilters(Everything) @QueueHandler('filtered') filtered(): unknown { return values; }
    @UseFilters(Everything) @UseInterceptors(Passing) @QueueHandler('both') both(): unknown { return values; }
    @UseInterceptors(Answering) @QueueHandler('intercepted') intercepted(): unknown { return values; }
    @QueueHandler('bare') bare(): unknown { return from([1, 2, 3]); }
    @UseInterceptors(Passing) @QueueHandler('mapped') mapped(): unknown { return concat(of(1), of(2)); }
  }
  const { engine } = await appOf({ providers: [Jobs] });
  const { context, abort, asked } = message();
  const runs = ['filtered', 'both', 'intercepted'].map((queue) => Promise.resolve(engine.work(queue, 1, context)));
  await waitUntil(() => asked() === 3, { what: 'all are subscribed' });
  values.next(1);
  values.error(own);
  expect(await Promise.all(runs)).toEqual(['answered', 'answered', 'made good']);
  expect(seen).toHaveLength(3);
  expect(await engine.work('bare', 1, context)).toBe(3);
  expect(await engine.work('mapped', 1, context)).toEqual([2]);
  abort();
  expect(seen).toHaveLength(3);
});
