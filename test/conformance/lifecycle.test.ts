import { Controller, type INestMicroservice } from '@nestjs/common';
import { type ClientProxy, EventPattern, MessagePattern } from '@nestjs/microservices';
import { setTimeout as sleep } from 'node:timers/promises';
import { NEVER, type Observable, timeout } from 'rxjs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { inTime, one, SILENCE, told } from './support/outcome.js';
import { differs, overTransports } from './support/suite.js';

let seen: unknown[] = [];

@Controller()
class Simple {
  @MessagePattern('echo')
  echo(data: unknown): unknown {
    return data;
  }
  @MessagePattern('never')
  never(data: unknown): Observable<never> {
    seen.push(data);
    return NEVER;
  }
  @MessagePattern('slow')
  async slow(data: unknown): Promise<unknown> {
    const mine = seen; // it may outlive its test
    mine.push('begin');
    await sleep(300);
    mine.push('end');
    return data;
  }
  @EventPattern('slow event')
  async slowEvent(data: unknown): Promise<void> {
    const mine = seen;
    mine.push(`begin ${String(data)}`);
    await sleep(300);
    mine.push(`end ${String(data)}`);
  }
}

overTransports('lifecycle', (transport, name) => {
  let client: ClientProxy;
  beforeEach(() => {
    seen = [];
    client = transport().client();
  });
  afterEach(() => transport().closeAll());
  const statuses = (of: { readonly status: Observable<string> }): string[] => {
    const list: string[] = [];
    of.status.subscribe((status) => list.push(status));
    return list;
  };
  /** What is sent while a connection breaks may be lost by Nest's Redis client, which then waits for ever. */
  const works = (): Promise<unknown> => waitUntil(() => one(client.send('echo', 'yes').pipe(timeout(1_000))), { what: 'a request is answered', timeoutMs: 15_000 });

  it('a client connects once, by itself or when told to', async () => {
    await transport().server(Simple);
    expect(await one(client.send('echo', 1))).toBe(1);
    const told_ = transport().client();
    await Promise.all([told_.connect(), told_.connect()]);
    await told_.connect();
    expect(await one(told_.send('echo', 2))).toBe(2);
  });
  it('a client can be used after its close, which may be called twice, or before anything', async () => {
    await transport().server(Simple);
    await transport().client().close();
    expect(await one(client.send('echo', 1))).toBe(1);
    await client.close();
    await client.close();
    expect(await one(client.send('echo', 2))).toBe(2);
  });
  it('requests that are open fail when their client closes', async () => {
    await transport().server(Simple);
    const open = [1, 2, 3].map((n) => told(client.send('never', n)));
    await waitUntil(() => seen.length === 3, { what: 'three run' });
    await inTime(client.close() as Promise<void> | void, `the ${name} client is closed`);
    for (const outcome of await Promise.all(open)) expect(outcome).toEqual([{ error: expect.stringMatching(/closed/) as string }]);
  });
  it('nowhere to connect to: connect and send say so', async () => {
    const lost = await transport().lostClient();
    await expect(Promise.resolve(lost.connect())).rejects.toBeDefined();
    expect(await told(lost.send('echo', 1))).toEqual([{ error: expect.any(String) as string }]);
  });
  differs('event with nowhere to connect to', name, {
    streams: async () => expect(await told((await transport().lostClient()).emit('slow event', 1), 1_500)).toEqual([SILENCE]),
    nest: async () => expect(await told((await transport().lostClient()).emit('slow event', 1))).toEqual([{ error: expect.any(String) as string }]),
  });
  it('unwrap gives what is underneath, once there is something', async () => {
    const app = await transport().server(Simple);
    expect(app.unwrap()).toBeDefined();
    expect(() => client.unwrap()).toThrow('Not initialized');
    await client.connect();
    expect(client.unwrap()).toBeDefined();
  });
  it('a server that starts again is found by the clients there are', async () => {
    const first = await transport().server(Simple);
    await works();
    await first.close();
    await transport().server(Simple);
    expect(await works()).toBe('yes');
  });
  it('connections that break are made again by both sides', async () => {
    await transport().server(Simple);
    await works();
    await transport().breakConnections(async () => undefined);
    expect(await works()).toBe('yes');
  });
  it('both are "connected" once they are', async () => {
    const app = await transport().server(Simple);
    await client.connect();
    const [ofServer, ofClient] = [statuses(app), statuses(client)];
    await waitUntil(() => ofServer.at(-1) === 'connected' && ofClient.at(-1) === 'connected', { what: 'both say so' });
  });

  const closed = async (): Promise<readonly [string[], string[]]> => {
    const app = await transport().server(Simple);
    await client.connect();
    const both = [statuses(app), statuses(client)] as const;
    await waitUntil(() => both.every((each) => each.at(-1) === 'connected'), { what: 'both are connected' });
    await client.close();
    await app.close();
    await sleep(100);
    return both;
  };
  differs('status after close', name, {
    streams: async () => expect(await closed()).toEqual([['connected', 'disconnected'], ['connected', 'disconnected']]),
    redis: async () => expect(await closed()).toEqual([['connected'], ['connected']]),
    tcp: async () => expect(await closed()).toEqual([['connected', 'disconnected'], ['connected', 'disconnected']]),
  });
  const broken = async (): Promise<string[]> => {
    await transport().server(Simple);
    await client.connect();
    const list = statuses(client);
    await transport().breakConnections(async () => undefined);
    await works();
    await waitUntil(() => list.at(-1) === 'connected' && list.length > 1, { what: 'it is connected again' });
    return list;
  };
  differs('status while a connection is made again', name, {
    streams: async () => expect(await broken()).toEqual(['connected', 'reconnecting', 'connected']),
    redis: async () => expect(await broken()).toEqual(['connected', 'reconnecting', 'connected']),
    tcp: async () => expect(await broken()).toEqual(['connected', 'disconnected', 'connected']),
  });
  const alone = async (): Promise<void> => {
    await client.connect();
    expect(client.unwrap()).toBeDefined();
  };
  differs('client that connects while no server is up', name, {
    streams: alone,
    redis: alone,
    tcp: async () => expect(Promise.resolve(client.connect())).rejects.toThrow('ECONNREFUSED'),
  });
  const closing = async (): Promise<{ app: INestMicroservice; reply: Promise<unknown[]> }> => {
    const app = await transport().server(Simple);
    await works();
    const reply = told(client.send('slow', 'reply'), 1_500);
    await inTime(one(client.emit('slow event', 1)), 'the event is sent');
    await waitUntil(() => seen.includes('begin') && seen.includes('begin 1'), { what: 'both run' });
    await inTime(app.close(), 'the server is closed');
    return { app, reply };
  };
  differs('server closes while it handles something', name, {
    streams: async () => {
      const { reply } = await closing();
      expect(seen.toSorted()).toEqual(['begin', 'begin 1', 'end', 'end 1']);
      expect(await reply).toEqual(['reply', 'end']);
    },
    redis: async () => {
      const { reply } = await closing();
      expect(seen.toSorted()).toEqual(['begin', 'begin 1']);
      expect(await reply).toEqual([SILENCE]);
    },
    tcp: async () => {
      const { reply } = await closing();
      expect(seen.toSorted()).toEqual(['begin', 'begin 1']);
      expect(await reply).toEqual([{ error: 'Connection closed' }]);
    },
  });
  differs('server that is closed twice', name, {
    streams: async () => {
      const { app } = await closing();
      await inTime(app.close(), 'the server is closed again');
    },
    redis: async () => {
      const { app } = await closing();
      await expect(app.close()).rejects.toThrow('Connection is closed');
    },
    tcp: async () => {
      const { app } = await closing();
      await inTime(app.close(), 'the server is closed again');
    },
  });
});
