import { Catch, Controller, type ExceptionFilter, UseFilters } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { from, type Observable, of, throwError } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, failureOf, Net } from './support/net.js';

const net = new Net();
let runs = 0;
beforeEach(() => void (runs = 0));

@Catch()
class WithNothing implements ExceptionFilter {
  catch(): Observable<never> {
    return throwError(() => undefined);
  }
}

@Controller()
class Handlers {
  @MessagePattern('values')
  values(@Payload() how: string): Observable<unknown> {
    runs++;
    return how === 'large' ? from(['first', 'x'.repeat(2_000), 'third']) : of('first', { big: 1n }, 'third');
  }
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    runs++;
    return data;
  }
  @MessagePattern('error')
  error(@Payload() how: string): unknown {
    runs++;
    const ring: Record<string, unknown> = {};
    ring['ring'] = ring;
    throw new RpcException(how === 'ring' ? ring : how === 'big' ? { status: 'error', big: 1n } : { status: 'error', message: how });
  }
  @MessagePattern('nothing')
  @UseFilters(WithNothing)
  nothing(): void {
    runs++;
    throw new Error('it fails all the same');
  }
}

/** All values, and how it ended. */
function told(values: Observable<unknown>): Promise<unknown[]> {
  return new Promise((resolve) => {
    const seen: unknown[] = [];
    values.subscribe({ next: (value) => void seen.push(value), error: (error: { message: string }) => resolve([...seen, { error: error.message }]), complete: () => resolve([...seen, 'end']) });
  });
}

describe('a reply that cannot be sent', () => {
  it('among others is an error behind those before it: none is left out in silence', async () => {
    await net.serve([Handlers], { transport: { maxBytes: 1_000 } });
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    expect(await told(client.send('values', 'large'))).toEqual(['first', { error: expect.stringContaining('at most 1000 bytes') as string }]);
    expect(await told(client.send('values', 'bigint'))).toEqual(['first', { error: expect.stringContaining('BigInt') as string }]);
    expect(runs).toBe(2);
  });

  it('since it is an error that nothing can carry: whoever asked is told so, at once', async () => {
    await net.serve([Handlers]);
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    for (const how of ['ring', 'big']) expect(await failureOf(ask(client, 'error', how)), how).toMatchObject({ status: 'error', message: expect.stringContaining('could not be sent') });
    expect(runs).toBe(2);
    expect(await failureOf(ask(client, 'error', 'plain'))).toEqual({ status: 'error', message: 'plain' });
  });

  it('since the serializer refuses it, value or error: likewise, behind what came before', async () => {
    const serialize = (packet: { response?: unknown; err?: { message?: string } }): unknown => {
      if (packet.response === 'x'.repeat(2_000) || packet.err?.message === 'bad') throw new Error('the serializer cannot');
      return packet;
    };
    await net.serve([Handlers], { transport: { serializer: { serialize } } });
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    const refused = { error: expect.stringContaining('the serializer cannot') as string };
    expect(await told(client.send('echo', 'x'.repeat(2_000)))).toEqual([refused]);
    expect(await told(client.send('values', 'large'))).toEqual(['first', refused]);
    expect(await told(client.send('error', 'bad'))).toEqual([refused]);
    expect(runs).toBe(3);
    expect(await told(client.send('echo', 'fine'))).toEqual(['fine', 'end']);
  });

  it('since a filter fails with nothing at all: it is a failure still, and no end', async () => {
    await net.serve([Handlers]);
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    expect(await told(client.send('nothing', 1))).toEqual([{ error: 'Internal server error' }]);
  });
});
