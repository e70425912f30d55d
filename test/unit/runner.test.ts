import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../libs/redis-streams/dist/redis/client-factory.js';

// What every other test takes for granted of the runner.

@Injectable()
class Greeter {
  greet(name: string): string {
    return `hello ${name}`;
  }
}

@Injectable()
class Guest {
  // No @Inject() here: Nest finds the class through the metadata the runner must emit.
  constructor(readonly greeter: Greeter, @Inject('NAME') readonly name: string) {}
}

@Module({ providers: [Greeter, Guest, { provide: 'NAME', useValue: 'Ada' }] })
class GuestModule {}

describe('the test runner', () => {
  it('emits decorator metadata, so that Nest injects by type', async () => {
    const app = await Test.createTestingModule({ imports: [GuestModule] }).compile();
    const guest = app.get(Guest);
    expect(guest.greeter.greet(guest.name)).toBe('hello Ada');
    expect(Reflect.getMetadata('design:paramtypes', Guest)).toEqual([Greeter, String]);
  });

  it('resolves the package through node_modules to its built entry', () => {
    expect(import.meta.resolve('nestjs-redis-streams')).toMatch(/\/dist\/index\.js$/);
  });

  it('takes the ioredis that IOREDIS asks for, here and inside the library', () => {
    const wanted = process.env['IOREDIS'] === '5' ? 'ioredis5' : 'ioredis';
    const { Redis: Wanted } = createRequire(import.meta.url)(wanted) as typeof import('ioredis');
    const { version } = createRequire(import.meta.url)(`${wanted}/package.json`) as { version: string };
    expect(version).toMatch(wanted === 'ioredis5' ? /^5\./ : /^6\./);
    expect(Redis).toBe(Wanted);
    const client = createClient({ host: '127.0.0.1', port: 1, lazyConnect: true }, 'command');
    client.disconnect();
    expect(client).toBeInstanceOf(Wanted);
  });
});
