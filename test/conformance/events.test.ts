import { Controller, type INestMicroservice } from '@nestjs/common';
import { type ClientProxy, EventPattern, Payload } from '@nestjs/microservices';
import { streamOptions } from 'nestjs-redis-streams';
import { defer, delay, EMPTY, from, Observable, of, tap } from 'rxjs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { one, told } from './support/outcome.js';
import { overTransports } from './support/suite.js';

const seen: unknown[] = [];
const note = (what: unknown): void => void seen.push(what);

class Inherited {
  @EventPattern('inherited')
  inherited(data: unknown): void {
    note([this.constructor.name, data]);
  }
}
@Controller()
class Events extends Inherited {
  @EventPattern('plain')
  plain(data: unknown): void {
    note(data);
  }
  @EventPattern('part')
  part(@Payload('who') who: string): void {
    note(who);
  }
  @EventPattern('promise')
  async promise(data: unknown): Promise<void> {
    await Promise.resolve();
    note(data);
  }
  @EventPattern('observable')
  observable(data: unknown): Observable<unknown> {
    return of(1, 2, 3).pipe(delay(1), tap((value) => note([data, value])));
  }
  @EventPattern('promised observable')
  async promised(data: unknown): Promise<Observable<unknown>> {
    return defer(() => {
      note(data);
      return EMPTY;
    });
  }
  @EventPattern({ topic: 'order', of: 'paid' })
  object(data: unknown): void {
    note(data);
  }
  @EventPattern(42)
  number(data: unknown): void {
    note(data);
  }
  @EventPattern(['one', 'other'])
  several(data: unknown): void {
    note(data);
  }
  @EventPattern('shared')
  first(data: unknown): void {
    note(['first', data]);
  }
  @EventPattern('shared')
  second(data: unknown): Observable<unknown> {
    return from([1]).pipe(tap(() => note(['second', data])));
  }
  @EventPattern('keyed', streamOptions({ partitions: 2 }))
  keyed(data: unknown): void {
    note(data);
  }
}
@Controller()
class Others {
  @EventPattern('shared')
  third(data: unknown): void {
    note(['third', data]);
  }
}

overTransports('events', (transport) => {
  let client: ClientProxy;
  let app: INestMicroservice;
  beforeAll(async () => {
    app = await transport().server([Events, Others]);
    client = transport().client();
  });
  beforeEach(() => void (seen.length = 0));
  afterAll(() => app.close());
  const heard = async (expected: unknown[]): Promise<void> => {
    await waitUntil(() => seen.length >= expected.length, { what: `${expected.length} were handled` });
    expect(seen.toSorted()).toEqual(expected.toSorted());
  };

  it.each([1, 0, 'text', '', false, [1], { a: { b: null } }, 'Grüße, 日本, 🎉'])('carry %j', async (data) => {
    expect(await told(client.emit('plain', data))).toEqual([undefined, 'end']);
    await heard([data]);
  });
  it('are sent without a subscription, and once with several', async () => {
    client.emit('plain', 'nobody looks');
    await heard(['nobody looks']);
    const sent = client.emit('plain', 'all look');
    await Promise.all([one(sent), one(sent)]);
    await one(client.emit('plain', 'last'));
    await heard(['nobody looks', 'all look', 'last']);
  });
  it('are refused without a pattern or data', async () => {
    for (const [pattern, data] of [[undefined, 1], [null, 1], ['plain', undefined], ['plain', null]]) {
      expect(await told(client.emit(pattern, data))).toEqual([{ error: 'The invalid data or message pattern (undefined/null)' }]);
    }
  });
  it('of what cannot be written fail, and others go on', async () => {
    const ring: Record<string, unknown> = {};
    ring['ring'] = ring;
    for (const data of [1n, ring]) expect(await told(client.emit('plain', data))).toEqual([{ error: expect.any(String) as string }]);
    await one(client.emit('plain', 1));
    await heard([1]);
  });
  it('that cannot be written, and nobody looks, end no process', async () => {
    client.emit('plain', 1n).subscribe({ error: () => undefined });
    client.emit('plain', 'after');
    await heard(['after']);
  });
  it('run handlers that return promises and Observables to their end', async () => {
    await one(client.emit('promise', 'p'));
    await one(client.emit('observable', 'o'));
    await one(client.emit('promised observable', 'po'));
    await heard(['p', ['o', 1], ['o', 2], ['o', 3], 'po']);
  });
  it('are known by pattern: objects whatever the order of their keys, numbers, several of one handler', async () => {
    await one(client.emit({ of: 'paid', topic: 'order' }, 'object'));
    await one(client.emit(42, 'number'));
    await one(client.emit('42', 'number as text'));
    await one(client.emit('one', 'one'));
    await one(client.emit('other', 'other'));
    await one(client.emit('inherited', 'i'));
    await one(client.emit('part', { who: 'ann', what: 'x' }));
    await one(client.emit('keyed', 'k'));
    await heard(['object', 'number', 'number as text', 'one', 'other', ['Events', 'i'], 'ann', 'k']);
  });
  it('reach each handler of their pattern, of whichever controller', async () => {
    await one(client.emit('shared', 1));
    await heard([['first', 1], ['second', 1], ['third', 1]]);
  });
  it('of one client are begun in the order in which they were sent', async () => {
    for (let i = 0; i < 200; i++) client.emit('plain', i);
    await waitUntil(() => seen.length === 200, { what: '200 were handled' });
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });
  it('and pollute no prototype', async () => {
    await one(client.emit('plain', JSON.parse('{"__proto__":{"polluted":"yes"}}') as object));
    await waitUntil(() => seen.length === 1, { what: 'it was handled' });
    expect(JSON.stringify(seen)).toBe('[{"__proto__":{"polluted":"yes"}}]');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
