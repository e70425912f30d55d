import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsContext } from 'nestjs-redis-streams/transport';
import { from, map, type Observable } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ask, askAll, failureOf, Net, type PacketDeserializer, type PacketSerializer, waitUntil } from './support/net.js';

const net = new Net();
const events: unknown[] = [];

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }
  @MessagePattern('kinds')
  kinds(@Payload() data: Record<string, unknown>): string[] {
    return Object.values(data).map((value) => Object.prototype.toString.call(value).slice(8, -1));
  }
  @MessagePattern('many')
  many(@Payload() n: number): Observable<unknown> {
    return from(Array.from({ length: n }, (_, i) => i)).pipe(map((i) => ({ i })));
  }
  @MessagePattern('fails')
  fails(): Observable<never> {
    return from([1]).pipe(map(() => { throw Object.assign(new Error('no'), { getError: () => ({ at: 1 }) }); }));
  }
  @MessagePattern('metadata')
  metadata(@Payload() _: unknown, @Ctx() context: RedisStreamsContext): unknown {
    return [context.metadata, context.getMetadata(), context.headers];
  }
  @EventPattern<unknown>('happened')
  happened(@Payload() data: unknown, @Ctx() context: RedisStreamsContext): void {
    events.push([data, context.metadata]);
  }
}

const SAMPLE = { date: new Date(1_700_000_000_000), bytes: Buffer.from([0, 1, 255]), map: new Map([['a', { b: 1 }]]), set: new Set([1]), big: 12_345_678_901_234_567n, text: 'ü☃' };

describe('msgpack', () => {
  it('carries dates, buffers, maps and sets both ways; a server and a client that write JSON read it', async () => {
    await net.serve([Handlers], { transport: { codec: 'msgpack' } });
    const client = net.client({ transport: { codec: 'msgpack' } });
    const back = await ask<typeof SAMPLE>(client, 'echo', SAMPLE);
    expect(back).toMatchObject({ date: SAMPLE.date, map: SAMPLE.map, set: SAMPLE.set, text: SAMPLE.text });
    expect([...back.bytes]).toEqual([0, 1, 255]);
    expect(String(back.big)).toBe(String(SAMPLE.big));
    expect(await ask(net.client(), 'echo', { a: 1 })).toEqual({ a: 1 });
  });

  it('from a msgpack client to a JSON server', async () => {
    await net.serve([Handlers]);
    const client = net.client({ transport: { codec: 'msgpack' } });
    expect(await ask(client, 'kinds', { date: SAMPLE.date, map: SAMPLE.map, bytes: SAMPLE.bytes })).toEqual(['Date', 'Map', 'Uint8Array']);
    events.length = 0;
    await client.emitAsync('happened', { at: SAMPLE.date });
    await waitUntil(() => events.length > 0, { what: 'the event is handled' });
    expect(events).toEqual([[{ at: SAMPLE.date }, {}]]);
  });

  it('keeps the order of many values, and their end behind them', async () => {
    await net.serve([Handlers], { transport: { codec: 'msgpack' } });
    expect(await askAll(net.client(), 'many', 500)).toEqual(Array.from({ length: 500 }, (_, i) => ({ i })));
  });
});

/** Whole packets, in an envelope. */
class Envelope implements PacketSerializer, PacketDeserializer {
  readonly seen: unknown[] = [];
  constructor(private readonly isAsync: boolean) {}
  serialize(packet: unknown): unknown {
    const made = { envelope: JSON.stringify(packet) };
    return this.isAsync ? later(made) : made;
  }
  deserialize(value: unknown, options?: unknown): unknown {
    this.seen.push([value, options]);
    const packet: unknown = JSON.parse((value as { envelope: string }).envelope);
    return this.isAsync ? later(packet) : packet;
  }
}

/** As bytes, of which the first is a mark. */
class Bytes implements PacketSerializer, PacketDeserializer {
  serialize(packet: unknown): Uint8Array {
    return Buffer.from(`!${JSON.stringify(packet)}`);
  }
  deserialize(value: unknown): unknown {
    const text = Buffer.from(value as Uint8Array).toString();
    if (!text.startsWith('!')) throw new Error('no mark');
    return JSON.parse(text.slice(1));
  }
}

/** What is asked for later may be ready before. */
function later<T>(value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * 10, value));
}

describe.each([['sync', () => new Envelope(false)], ['async', () => new Envelope(true)], ['bytes', () => new Bytes()]] as const)('a serializer and deserializer of the user (%s)', (_name, make) => {
  const both = () => {
    const codec = make();
    return { transport: { serializer: codec, deserializer: codec } };
  };

  it('see whole packets of requests, events and replies; values, their order and their end are kept', async () => {
    events.length = 0;
    await net.serve([Handlers], both());
    const client = net.client(both());
    expect(await ask(client, 'echo', { a: 1 })).toEqual({ a: 1 });
    expect(await askAll(client, 'many', 40)).toEqual(Array.from({ length: 40 }, (_, i) => ({ i })));
    expect(await failureOf(askAll(client, 'fails', 1))).toEqual({ status: 'error', message: 'Internal server error' });
    await client.emitAsync('happened', { n: 1 });
    await waitUntil(() => events.length > 0, { what: 'the event is handled' });
    expect(events).toEqual([[{ n: 1 }, {}]]);
  });

  it('of the server\'s replies alone', async () => {
    const codec = make();
    await net.serve([Handlers], { transport: { serializer: codec } });
    expect(await askAll(net.client({ transport: { deserializer: codec } }), 'many', 10)).toEqual(Array.from({ length: 10 }, (_, i) => ({ i })));
  });
});

describe('a deserializer that fails', () => {
  const broken: PacketDeserializer = { deserialize: async () => { throw new Error('no such format'); } };

  it('in the server: after its attempts a dead letter, and the next message is read', async () => {
    const { server } = await net.serve([Handlers], { transport: { deserializer: broken } });
    void server;
    const client = net.client();
    await client.emitAsync('happened', 1);
    const letters = await net.letters(client, 'event.happened');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    expect((await letters.list())[0]).toMatchObject({ error: expect.stringContaining('no such format') });
  });

  it('also where a start hook takes its time: no rejection is left unhandled', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    try {
      await net.serve([Handlers], { transport: { deserializer: broken } }, (_app, server) => server.setOnProcessingStartHook(((_id: unknown, _context: unknown, done: () => void) => void setTimeout(done, 20)) as never));
      const client = net.client();
      await client.emitAsync('happened', 1);
      const letters = await net.letters(client, 'event.happened');
      await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });

  it('in the client: the request fails', async () => {
    await net.serve([Handlers], { transport: { serializer: new Envelope(false) } });
    expect(await failureOf(ask(net.client({ transport: { deserializer: broken } }), 'echo', 1))).toMatchObject({ message: 'no such format' });
  });
});

describe('metadata', () => {
  it('that instrumentation puts into the packets of a client arrives, and nothing else becomes a header of the user', async () => {
    events.length = 0;
    await net.serve([Handlers]);
    const client = net.client();
    const dispatch = (client as { setOnDispatchHook?(hook: (packet: { metadata?: Record<string, string> }) => void): void }).setOnDispatchHook;
    if (!dispatch) return; // only from Nest 12 on
    dispatch.call(client, (packet) => void (packet.metadata = { traceparent: '00-ü' }));
    expect(await ask(client, 'metadata', 1)).toEqual([{ traceparent: '00-ü' }, { traceparent: '00-ü' }, {}]);
    await client.emitAsync('happened', 2);
    client.emit('happened', 3);
    await waitUntil(() => events.length === 2, { what: 'both are handled' });
    expect(events.toSorted()).toEqual([[2, { traceparent: '00-ü' }], [3, { traceparent: '00-ü' }]]);
  });
});
