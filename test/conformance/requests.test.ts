import { Controller } from '@nestjs/common';
import { type ClientProxy, MessagePattern, RpcException } from '@nestjs/microservices';
import { concat, EMPTY, firstValueFrom, from, interval, map, of, take, throwError, timeout, TimeoutError, timer, type Observable } from 'rxjs';
import { beforeAll, expect, it } from 'vitest';
import { all, one, told } from './support/outcome.js';
import { overTransports } from './support/suite.js';

class Inherited {
  @MessagePattern('inherited')
  inherited(): string {
    return this.name();
  }
  protected name(): string {
    return 'base';
  }
}
@Controller()
class Requests extends Inherited {
  protected override name(): string {
    return 'derived';
  }
  calls = 0;
  @MessagePattern('echo')
  echo(data: unknown): unknown {
    return data;
  }
  @MessagePattern('shape')
  shape(data: object): unknown {
    return { own: Object.keys(data), polluted: ({} as Record<string, unknown>)['polluted'] ?? 'no' };
  }
  @MessagePattern('named')
  named(what: string): unknown {
    return { null: null, undefined, zero: 0, false: false, empty: '' }[what];
  }
  @MessagePattern('promise')
  async promise(data: number): Promise<number> {
    return data + 1;
  }
  @MessagePattern('observable')
  observable(count: number): Observable<number> {
    return interval(2).pipe(take(count));
  }
  @MessagePattern('at once')
  atOnce(count: number): Observable<number> {
    return from(Array.from({ length: count }, (_, i) => i));
  }
  @MessagePattern('promised observable')
  async promised(count: number): Promise<Observable<number>> {
    return this.observable(count);
  }
  @MessagePattern('partly')
  partly(): Observable<number> {
    return concat(of(1, 2), throwError(() => new RpcException('then it broke')));
  }
  @MessagePattern('with a hole')
  withHole(): Observable<unknown> {
    return interval(2).pipe(take(3), map((i) => [1, undefined, 2][i]));
  }
  @MessagePattern('nothing')
  nothing(): Observable<never> {
    return EMPTY;
  }
  @MessagePattern('error')
  error(): never {
    throw new Error('a secret of the server');
  }
  @MessagePattern('late error')
  async lateError(): Promise<never> {
    throw new Error('a secret of the server');
  }
  @MessagePattern('rpc string')
  rpcString(): never {
    throw new RpcException('no such order');
  }
  @MessagePattern('rpc object')
  rpcObject(): never {
    throw new RpcException({ code: 404, message: 'no such order', details: [1] });
  }
  @MessagePattern('thrown string')
  thrownString(): never {
    // oxlint-disable-next-line no-throw-literal
    throw 'just a string';
  }
  @MessagePattern('after')
  after(ms: number): Observable<number> {
    return timer(ms).pipe(map(() => ms));
  }
  @MessagePattern('count')
  count(): number {
    return ++this.calls;
  }
  @MessagePattern({ cmd: 'sum', version: { major: 1, minor: 2 } })
  sum(data: number[]): number {
    return data.reduce((a, b) => a + b, 0);
  }
  @MessagePattern(7)
  seven(): string {
    return 'seven';
  }
  @MessagePattern(['first name', { second: 'name' }])
  severalPatterns(): string {
    return 'either';
  }
  @MessagePattern('twice')
  earlier(): string {
    return 'the earlier one';
  }
  @MessagePattern('twice')
  later(): string {
    return 'the later one';
  }
}

overTransports('requests', (transport) => {
  let client: ClientProxy;
  beforeAll(async () => {
    await transport().server(Requests);
    client = transport().client();
  });
  const send = (pattern: unknown, data: unknown = 'x'): Observable<unknown> => client.send(pattern, data);

  it.each([1, 0, -0.5, 'text', '', true, false, [], [1, [2]], {}, { a: { b: null } }])('carry %j there and back', async (data) => {
    expect(await told(send('echo', data))).toEqual([data, 'end']);
  });
  it('carry what is no ASCII, and what looks like the transport\'s own', async () => {
    for (const text of ['Grüße, 日本, 🎉, \u0000, \u2028, "quoted", \\, \r\n', '#12#{}', '{"id":1}', '*3\r\n$3', '\uD83D']) {
      expect(await one(send('echo', { [text]: text }))).toEqual({ [text]: text });
    }
    for (const data of [{ id: 'x', response: 1, isDisposed: true }, { err: 'no error' }, { pattern: 'p', data: 'd' }, { response: undefined, err: null }]) {
      expect(await told(send('echo', data))).toEqual([JSON.parse(JSON.stringify(data)), 'end']);
    }
  });
  it('carry data as JSON does: dates, buffers, holes', async () => {
    const data = { date: new Date(0), bytes: Buffer.from([0, 255]), gone: undefined, nan: Number.NaN, list: [undefined, 1] };
    expect(await one(send('echo', data))).toEqual(JSON.parse(JSON.stringify(data)));
  });
  it('carry keys that could pollute a prototype, and pollute none', async () => {
    const data: unknown = JSON.parse('{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}},"toString":1}');
    expect(await one(send('shape', data))).toEqual({ own: ['__proto__', 'constructor', 'toString'], polluted: 'no' });
    expect(JSON.stringify(await one(send('echo', data)))).toBe(JSON.stringify(data));
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
  it('carry 900 KB both ways', async () => {
    const data = 'ü'.repeat(450_000);
    expect((await one(send('echo', data))) === data).toBe(true);
  });
  it('carry data nested 60 deep', async () => {
    let data: unknown = 'core';
    for (let i = 0; i < 60; i++) data = [data];
    expect(await one(send('echo', data))).toEqual(data);
  });
  it.each([['null', [null, 'end']], ['undefined', ['end']], ['zero', [0, 'end']], ['false', [false, 'end']], ['empty', ['', 'end']]])('answer with a handler\'s %s', async (what, expected) => {
    expect(await told(send('named', what))).toEqual(expected);
  });
  it('answer with what a promise, an Observable or a promise of one gives', async () => {
    expect(await told(send('promise', 1))).toEqual([2, 'end']);
    expect(await told(send('nothing'))).toEqual(['end']);
    expect(await told(send('observable', 1))).toEqual([0, 'end']);
    expect(await told(send('observable', 4))).toEqual([0, 1, 2, 3, 'end']);
    expect(await told(send('promised observable', 3))).toEqual([0, 1, 2, 'end']);
    expect((await all(send('at once', 500)))).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });
  it('tell what the handler throws: RpcExceptions as they are, nothing of what else went wrong', async () => {
    expect(await told(send('rpc string'))).toEqual([{ error: { status: 'error', message: 'no such order' } }]);
    expect(await told(send('rpc object'))).toEqual([{ error: { code: 404, message: 'no such order', details: [1] } }]);
    for (const pattern of ['error', 'late error', 'thrown string']) expect(await told(send(pattern))).toEqual([{ error: { status: 'error', message: 'Internal server error' } }]);
    expect(await told(send('partly'))).toEqual([1, 2, { error: { status: 'error', message: 'then it broke' } }]);
  });
  it('are known by pattern: objects whatever the order of their keys, numbers, several of one handler, and the last of several handlers', async () => {
    expect(await one(send({ version: { minor: 2, major: 1 }, cmd: 'sum' }, [1, 2, 3]))).toBe(6);
    expect(await one(send(7))).toBe('seven');
    expect(await one(send('7'))).toBe('seven');
    expect(await one(send('first name'))).toBe('either');
    expect(await one(send({ second: 'name' }))).toBe('either');
    expect(await one(send('twice'))).toBe('the later one');
    expect(await one(send('inherited'))).toBe('derived');
  });
  it('are refused without a pattern or data', async () => {
    for (const [pattern, data] of [[undefined, 1], [null, 1], ['echo', undefined], ['echo', null]]) {
      expect(() => client.send(pattern, data)).not.toThrow();
      expect(await told(client.send(pattern, data))).toEqual([{ error: 'The invalid data or message pattern (undefined/null)' }]);
    }
  });
  it('of what cannot be written fail, and others go on', async () => {
    const ring: Record<string, unknown> = {};
    ring['ring'] = ring;
    for (const data of [1n, ring]) expect(await told(send('echo', data))).toEqual([{ error: expect.any(String) as string }]);
    expect(await one(send('echo', 1))).toBe(1);
  });
  it('are sent when subscribed to, each time', async () => {
    const before = (await one(send('count'))) as number;
    const cold = send('count');
    await one(send('echo', 1));
    expect(await one(cold)).toBe(before + 1);
    expect(await one(cold)).toBe(before + 2);
  });
  it('are answered each with its own, at once, and whichever is first', async () => {
    const ended: string[] = [];
    await Promise.all([['slow', 300], ['fast', 1]].map(async ([which, ms]) => {
      await one(send('after', ms));
      ended.push(String(which));
    }));
    expect(ended).toEqual(['fast', 'slow']);
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    expect(await Promise.all(numbers.map((n) => one(send('echo', n))))).toEqual(numbers);
  });
  it('keep the order of a client', async () => {
    const order: number[] = [];
    await Promise.all(Array.from({ length: 100 }, async (_, i) => order.push((await one(send('echo', i))) as number)));
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
  it('tell an undefined among the values', async () => {
    expect(await told(send('with a hole'))).toEqual([1, undefined, 2, 'end']);
  });
  it('that took too long for their sender are heard no more', async () => {
    await expect(one(send('after', 60).pipe(timeout(20)))).rejects.toBeInstanceOf(TimeoutError);
    const late: unknown[] = [];
    const subscription = send('after', 40).subscribe((value) => late.push(value));
    subscription.unsubscribe();
    expect(await one(send('after', 80))).toBe(80);
    expect(late).toEqual([]);
  });
  it('of the first value let the rest go', async () => {
    expect(await firstValueFrom(send('observable', 50))).toBe(0);
    expect(await one(send('echo', 'on'))).toBe('on');
  });
});
