import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Injectable } from '@nestjs/common';
import * as library from 'nestjs-redis-streams';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { repoRoot } from '../../support/repo.js';
import { appOf, FakeEngine } from './support/fake-engine.js';

// What a process has that imports the library in one place and requires it in another, through a bundle or two installations.
const folder = mkdtempSync(join(tmpdir(), 'copy-'));
let copy: typeof library;
beforeAll(async () => {
  const installed = join(repoRoot, 'libs', 'redis-streams');
  for (const part of ['dist', 'package.json']) cpSync(join(installed, part), join(folder, part), { recursive: true });
  symlinkSync(join(repoRoot, 'node_modules'), join(folder, 'node_modules'));
  copy = (await import(/* @vite-ignore */ pathToFileURL(join(folder, 'dist', 'index.js')).href)) as typeof library;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('a module imported from two copies of the library is refused, and says that there are two', async () => {
  expect(copy.RedisStreamsModule).not.toBe(library.RedisStreamsModule);
  const engine = new FakeEngine();
  await expect(appOf({ imports: [copy.RedisStreamsModule.forRoot()] }, engine)).rejects.toThrow(/imported 2 times[^]*several copies of the library/);
  expect(engine.calls).not.toContain('start');
  await expect(appOf({ imports: [library.RedisStreamsModule.forRoot({ consumerName: 'again' })] })).rejects.toThrow(/imported 2 times(?![^]*copies)/);
});

it('decorators of one copy are found by the module of the other', async () => {
  @Injectable()
  class Jobs {
    @copy.QueueHandler('jobs') job(data: unknown): unknown { return data; }
  }
  const { engine } = await appOf({ providers: [Jobs] });
  expect(engine.work('jobs', 7)).toBe(7);
});
