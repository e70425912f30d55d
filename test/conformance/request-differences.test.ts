import { Controller } from '@nestjs/common';
import { type ClientProxy, Ctx, EventPattern, MessagePattern, Payload, RedisContext, TcpContext } from '@nestjs/microservices';
import { RedisStreamsContext } from 'nestjs-redis-streams';
import { NEVER, Observable, Subject, take, takeUntil } from 'rxjs';
import { afterEach, beforeEach, expect } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { all, one, SILENCE, told } from './support/outcome.js';
import { differs, overTransports } from './support/suite.js';

const QUIET_MS = 400;
let seen: unknown[] = [];
/** Ends what a server goes on with. */
const over = new Subject<void>();

@Controller()
class Mixed {
  @MessagePattern('echo')
  echo(data: unknown): unknown {
    return data;
  }
  @MessagePattern('large')
  large(size: number): string {
    return 'x'.repeat(size);
  }
  @EventPattern('an event')
  event(data: unknown): string {
    seen.push(data);
    return 'of an event handler';
  }
  @MessagePattern('a request')
  request(data: unknown): string {
    seen.push(data);
    return 'of a request handler';
  }
  @MessagePattern('both')
  bothAsRequest(data: unknown): string {
    seen.push(['request', data]);
    return 'of both';
  }
  @EventPattern('both')
  bothAsEvent(data: unknown): void {
    seen.push(['event', data]);
  }
  @MessagePattern('endless')
  endless(@Payload() _: unknown, @Ctx() context: { readonly signal?: AbortSignal }): Observable<number> {
    const mine = seen;
    context.signal?.addEventListener('abort', () => mine.push('aborted'));
    return new Observable<number>((subscriber) => {
      let i = 0;
      const timer = setInterval(() => {
        mine.push(i);
        subscriber.next(i++);
      }, 5);
      return () => {
        clearInterval(timer);
        mine.push('unsubscribed');
      };
    }).pipe(takeUntil(over));
  }
  @MessagePattern('for ever')
  forEver(): Observable<never> {
    return NEVER;
  }
  @MessagePattern('context')
  context(@Payload() _: unknown, @Ctx() context: unknown): unknown {
    if (context instanceof RedisStreamsContext) return ['streams', context.pattern, /^c[0-9a-f]{8}:request\.context$/.test(context.stream), /^\d+-\d+$/.test(context.id), context.attempt];
    if (context instanceof RedisContext) return ['redis', context.getChannel(), context.getArgs().length];
    if (context instanceof TcpContext) return ['tcp', context.getPattern(), context.getArgs().length];
    return undefined;
  }
}
@Controller()
class ByExpression {
  @MessagePattern(/^order\..+$/)
  any(): string {
    return 'any';
  }
}

overTransports('what differs of requests', (transport, name) => {
  let client: ClientProxy;
  beforeEach(async () => {
    seen = [];
    await transport().server(Mixed);
    client = transport().client();
    await one(client.send('echo', 'connected'));
  });
  afterEach(() => {
    over.next();
    return transport().closeAll();
  });
  const stopped = async (): Promise<void> => waitUntil(() => seen.includes('unsubscribed'), { what: 'the server has unsubscribed' }).then(() => undefined);
  const goesOn = async (): Promise<void> => {
    const before = seen.length;
    await waitUntil(() => seen.length > before + 20, { what: 'the handler goes on' });
    expect(seen).not.toContain('unsubscribed');
  };

  differs('request nobody handles', name, {
    streams: async () => expect(await told(client.send('nobody', 1))).toEqual([{ error: expect.stringContaining('no server has ever handled requests of the pattern nobody (waited 300 ms') as string }]),
    redis: async () => expect(await told(client.send('nobody', 1), QUIET_MS)).toEqual([SILENCE]),
    tcp: async () => expect(await told(client.send('nobody', 1))).toEqual([{ error: 'There is no matching message handler defined in the remote service.' }]),
  });
  differs('request to an event handler', name, {
    streams: async () => {
      expect(await told(client.send('an event', 1))).toEqual([{ error: expect.stringContaining('no server has ever handled requests') as string }]);
      expect(seen).toEqual([]);
    },
    nest: async () => expect([await told(client.send('an event', 1)), seen]).toEqual([['of an event handler', 'end'], [1]]),
  });
  differs('event to a request handler', name, {
    streams: async () => {
      await one(client.emit('a request', 'an event'));
      expect(await one(client.send('a request', 'a request'))).toBe('of a request handler');
      expect(seen).toEqual(['a request']);
    },
    nest: async () => {
      await one(client.emit('a request', 'an event'));
      await waitUntil(() => seen.length === 1, { what: 'the event has been handled' });
      expect(seen).toEqual(['an event']);
    },
  });
  const sendBoth = async (): Promise<void> => {
    await one(client.emit('both', 1));
    expect(await one(client.send('both', 2))).toBe('of both');
    await waitUntil(() => seen.length >= 2, { what: 'both have been handled' });
  };
  differs('one pattern for requests and events', name, {
    streams: async () => {
      await sendBoth();
      expect(seen.toSorted()).toEqual([['event', 1], ['request', 2]]);
    },
    nest: async () => {
      await sendBoth();
      expect(seen).toEqual([['request', 1], ['request', 2]]);
    },
  });
  differs('unsubscribing from a request', name, {
    streams: async () => {
      expect(await all(client.send('endless', 1).pipe(take(3)))).toEqual([0, 1, 2]);
      await stopped();
      expect(seen.filter((each) => typeof each === 'string').toSorted()).toEqual(['aborted', 'unsubscribed']);
    },
    nest: async () => {
      expect(await all(client.send('endless', 1).pipe(take(3)))).toEqual([0, 1, 2]);
      await goesOn();
    },
  });
  differs('client closes during a request', name, {
    streams: async () => {
      const failure = told(client.send('endless', 1));
      await waitUntil(() => seen.includes(3), { what: 'it runs' });
      await client.close();
      expect((await failure).at(-1)).toEqual({ error: expect.stringContaining('whether it was run is unknown') as string });
      await stopped();
    },
    nest: async () => {
      const failure = told(client.send('endless', 1));
      await waitUntil(() => seen.includes(3), { what: 'it runs' });
      await client.close();
      expect((await failure).at(-1)).toEqual({ error: 'Connection closed' });
      await goesOn();
    },
  });
  differs('request without any reply', name, {
    streams: async () => {
      const impatient = transport().client({ requestTimeoutMs: 100 });
      expect(await told(impatient.send('for ever', 1))).toEqual([{ error: expect.stringContaining('no reply to the request for ever for 100 ms') as string }]);
    },
    nest: async () => expect(await told(client.send('for ever', 1), QUIET_MS)).toEqual([SILENCE]),
  });
  differs('data beyond 1 MiB', name, {
    streams: async () => {
      expect(await told(client.send('echo', 'x'.repeat(1_048_576)))).toEqual([{ error: expect.stringContaining('at most 1048576 bytes') as string }]);
      expect(await told(client.send('large', 1_048_576))).toEqual([{ error: { status: 'error', message: expect.stringContaining('at most 1048576 bytes') as string } }]);
      expect(await told(client.emit('an event', 'x'.repeat(1_048_576)))).toEqual([{ error: expect.stringContaining('at most 1048576 bytes') as string }]);
      expect(seen).toEqual([]);
    },
    nest: async () => {
      const data = 'x'.repeat(3_000_000);
      expect((await one(client.send('echo', data))) === data).toBe(true);
      expect((await one(client.send('large', data.length))) === data).toBe(true);
    },
  });
  const nested = (depth: number): unknown => {
    let data: unknown = 'core';
    for (let i = 0; i < depth; i++) data = [data];
    return data;
  };
  differs('data nested deeper than 64', name, {
    streams: async () => expect(await told(client.send('echo', nested(65)))).toEqual([{ error: expect.stringContaining('nested deeper than 64') as string }]),
    nest: async () => expect(await one(client.send('echo', nested(1_000)))).toEqual(nested(1_000)),
  });
  differs('context of a handler', name, {
    streams: async () => expect(await one(client.send('context', 1))).toEqual(['streams', 'context', true, true, 1]),
    redis: async () => expect(await one(client.send('context', 1))).toEqual(['redis', 'context', 2]),
    tcp: async () => expect(await one(client.send('context', 1))).toEqual(['tcp', 'context', 3]),
  });
  differs('pattern that is a regular expression', name, {
    streams: async () => {
      await transport().closeAll();
      await expect(transport().server(ByExpression)).rejects.toThrow('is a regular expression');
    },
    nest: async () => {
      await transport().closeAll();
      await transport().server(ByExpression);
      expect(await told(transport().client().send('order.paid', 1), QUIET_MS)).not.toContain('any');
    },
  });
  differs('several instances, requests', name, {
    streams: async () => {
      await transport().server(Mixed);
      for (let i = 0; i < 20; i++) expect(await one(client.send('a request', i))).toBe('of a request handler');
      expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
    },
    redis: async () => {
      await transport().server(Mixed);
      expect(await told(client.send('a request', 1))).toEqual(['of a request handler', 'end']);
      await waitUntil(() => seen.length === 2, { what: 'both have run it' });
    },
    tcp: async () => {
      await expect(transport().server(Mixed)).rejects.toThrow('EADDRINUSE');
    },
  });
});
