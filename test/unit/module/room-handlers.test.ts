import { Controller, Injectable, Scope } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type EjectedSubscriber, FanoutService, getFanoutToken, InjectFanout, type JoinedRoom, OnRoomEjected, OnRoomJoined, OnRoomMessage, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf } from './support/fake-engine.js';

const joined: JoinedRoom = { room: 'lobby', subscriber: 'c1/1' };
const ejected: EjectedSubscriber = { ...joined, reason: 'timeout', messageId: '7', rejoins: true };

describe('finding room handlers', () => {
  it('on providers and on controllers, by name, pattern, RegExp or options; several for one room, and one for several', async () => {
    @Injectable()
    class Provider {
      @OnRoomMessage('lobby', { sync: false, maxQueued: 3 })
      listens(): string {
        return 'listens';
      }
      @OnRoomMessage(/^game\.\d+$/i)
      @OnRoomMessage('chat.*')
      several(): void {}
    }
    @Controller()
    class Place {
      @OnRoomMessage({ room: 'lobby', connection: 'far', ack: 'manual' })
      far(): string {
        return 'far';
      }
      @OnRoomMessage({ room: 'lobby' })
      @OnRoomMessage('lobby')
      twice(): string {
        return 'twice';
      }
    }
    const { engine } = await appOf({ providers: [Provider], controllers: [Place] });
    expect(engine.rooms.map(({ options }) => options)).toEqual(expect.arrayContaining([
      { room: 'lobby', sync: false, maxQueued: 3 }, { room: /^game\.\d+$/i }, { room: 'chat.*' }, { room: 'lobby', connection: 'far', ack: 'manual' },
    ]));
    expect(engine.show('lobby', 1).toSorted()).toEqual(['far', 'listens', 'twice', 'twice']);
    expect(engine.calls).toEqual(['start']);
  });

  it('an inherited one counts, one overridden without its decorator does not', async () => {
    class Base {
      @OnRoomMessage('inherited')
      inherited(): string {
        return this.constructor.name;
      }
      @OnRoomMessage('overridden')
      overridden(): void {}
    }
    @Injectable()
    class Derived extends Base {
      override overridden(): void {}
    }
    const { engine } = await appOf({ providers: [Derived] });
    expect(engine.rooms.map(({ options }) => options.room)).toEqual(['inherited']);
    expect(engine.show('inherited', 1)).toEqual(['Derived']);
  });

  it('hooks listen to every subscriber of their room and connection; the failure of one keeps none from being told', async () => {
    const heard: unknown[] = [];
    @Injectable()
    class Handlers {
      @OnRoomMessage('game.*')
      first(): void {}
      @OnRoomMessage('game.*', { sync: false })
      second(): void {}
      @OnRoomMessage(/game/)
      other(): void {}
      @OnRoomMessage({ room: 'game.*', connection: 'far' })
      far(): void {}
      @OnRoomEjected('game.*')
      fails(event: EjectedSubscriber): void {
        heard.push(['ejected', event]);
        throw new Error('first listener');
      }
      @OnRoomJoined({ room: 'game.*', connection: 'default' })
      @OnRoomJoined(new RegExp('game'))
      in(event: JoinedRoom): void {
        heard.push(['joined', event]);
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class Watcher {
      @OnRoomEjected({ room: 'game.*' })
      async out(event: EjectedSubscriber): Promise<void> {
        heard.push(['watched', event]);
      }
    }
    const { engine } = await appOf({ providers: [Handlers, Watcher] });
    const ofGames = engine.rooms.filter(({ options }) => options.room === 'game.*' && options.connection === undefined);
    expect(ofGames).toHaveLength(2);
    for (const { handlers } of ofGames) {
      heard.length = 0;
      await expect(handlers.ejected?.(ejected)).rejects.toThrow('first listener');
      await handlers.joined?.(joined);
      expect(heard).toEqual(expect.arrayContaining([['ejected', ejected], ['watched', ejected], ['joined', joined]]));
      expect(heard).toHaveLength(3);
    }
    const [byExpression] = engine.roomHandlers(/game/);
    expect(Object.keys(byExpression ?? {}).toSorted()).toEqual(['joined', 'message']);
    const far = engine.rooms.find(({ options }) => options.connection === 'far');
    expect(Object.keys(far?.handlers ?? {})).toEqual(['message']);
  });
});

describe('what is refused at start', () => {
  it('every hook that belongs to no handler, in one error', async () => {
    @Injectable()
    class A {
      @OnRoomMessage('lobby')
      handled(): void {}
      @OnRoomEjected('loby')
      misspelt(): void {}
      @OnRoomJoined({ room: 'lobby', connection: 'far' })
      elsewhere(): void {}
      @OnRoomJoined(/lobby/)
      expression(): void {}
    }
    const problem = await appOf({ providers: [A] }).then(() => undefined, (error: Error) => error.message);
    expect(problem).toContain('A.misspelt: @OnRoomEjected for room "loby", which no method handles with @OnRoomMessage');
    expect(problem).toContain('A.elsewhere: @OnRoomJoined for room "lobby" on connection "far", which no method handles with @OnRoomMessage');
    expect(problem).toContain('A.expression: @OnRoomJoined for rooms /lobby/, which no method handles with @OnRoomMessage');
  });

  it('wrong options of every handler of a room, with its method', async () => {
    @Injectable()
    class Handlers {
      @OnRoomMessage('lobby', { ackTimeout: 5 } as never)
      unknown(): void {}
      @OnRoomMessage('lobby', { ackTimeoutMs: 0, connection: 'nowhere' })
      wrong(): void {}
      @OnRoomMessage(undefined as never)
      nothing(): void {}
    }
    const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot()], providers: [Handlers] }).setLogger(false as never).compile();
    const error = await app.init().then(() => undefined, (thrown: Error) => thrown.message);
    for (const part of [/OnRoomMessage of Handlers\.unknown: .*ackTimeout: is not an option/, /of Handlers\.wrong: .*\.ackTimeoutMs/, /of Handlers\.wrong: .*\.connection/, /of Handlers\.nothing: .*\.room/]) {
      expect(error).toMatch(part);
    }
    await app.close().catch(() => undefined);
  });

  it('a decorator on what is no method', () => {
    expect(() => {
      class Wrong {
        @OnRoomJoined('lobby')
        get value(): number {
          return 1;
        }
      }
      return Wrong;
    }).toThrow('@OnRoomJoined belongs on a method, not on value');
  });
});

it('FanoutService is injected by class for the default connection, by name for others', async () => {
  @Injectable()
  class Senders {
    constructor(readonly here: FanoutService, @InjectFanout() readonly same: FanoutService, @InjectFanout('far') readonly far: FanoutService) {}
  }
  const { app } = await appOf({ providers: [Senders] }, undefined, { connections: { far: {} } });
  const { here, same, far } = app.get(Senders);
  expect(same).toBe(here);
  expect(await here.send('lobby', 1)).toMatchObject({ connection: 'default' });
  expect(await far.send('lobby', 1)).toMatchObject({ connection: 'far' });
  expect(app.get(getFanoutToken('far'))).toBe(far);
});
