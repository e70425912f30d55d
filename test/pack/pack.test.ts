import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { cpSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.js';
import { repoRoot } from '../support/repo.js';

const COMBINATIONS = [
  { nest: '11', ioredis: '5' },
  { nest: '11', ioredis: '6' },
  { nest: '12', ioredis: '5' },
  { nest: '12', ioredis: '6' },
];

function run(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 240_000, env: { ...process.env, ...env } });
}

function must(result: SpawnSyncReturns<string>, what: string): string {
  expect(result.status, `${what}\n${result.stdout}\n${result.stderr}`).toBe(0);
  return result.stdout;
}

describe('the packed file, as users install it', () => {
  let redis: RedisServer;
  let dir: string;
  let tarball: string;
  let files: string[];

  beforeAll(async () => {
    redis = await startRedis();
    dir = mkdtempSync(join(tmpdir(), 'nrs-pack-'));
    const packed = must(
      run('npm', ['pack', '--json', '--pack-destination', dir], join(repoRoot, 'libs/redis-streams'), { PACK_BUILD: 'skip' }),
      'npm pack',
    );
    const [report] = JSON.parse(packed.slice(packed.indexOf('['))) as Array<{ filename: string; files: Array<{ path: string }> }>;
    tarball = join(dir, report!.filename);
    files = report!.files.map(({ path }) => path);
  }, 120_000);

  afterAll(async () => {
    await redis?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  it('holds ESM, types and documents, and neither sources nor tests', () => {
    for (const path of ['dist/index.js', 'dist/index.d.ts', 'dist/lease/index.js', 'dist/lease/index.d.ts', 'dist/partition/index.js', 'dist/partition/index.d.ts', 'dist/fanout/index.js', 'dist/fanout/index.d.ts', 'dist/queue/index.js', 'dist/queue/index.d.ts', 'dist/transport/index.js', 'dist/transport/index.d.ts', 'README.md', 'LICENSE', 'CHANGELOG.md', 'package.json']) {
      expect(files).toContain(path);
    }
    expect(files.filter((path) => /\.lua$|(?<!\.d)\.ts$|test|tsbuildinfo/.test(path))).toEqual([]);
  });

  for (const { nest, ioredis } of COMBINATIONS) {
    describe(`Nest ${nest}, ioredis ${ioredis}`, () => {
      let app: string;

      beforeAll(() => {
        app = join(dir, `nest${nest}-ioredis${ioredis}`);
        cpSync(join(repoRoot, 'test/pack/fixture'), app, { recursive: true });
        writeFileSync(
          join(app, 'package.json'),
          JSON.stringify({
            name: 'scratch',
            private: true,
            dependencies: {
              '@nestjs/common': `^${nest}.0.0`,
              '@nestjs/core': `^${nest}.0.0`,
              '@nestjs/microservices': `^${nest}.0.0`,
              ioredis: `^${ioredis}.0.0`,
              'nestjs-redis-streams': `file:${tarball}`,
              'reflect-metadata': '^0.2.2',
              rxjs: '^7.8.1',
            },
          }),
        );
        // Strict about peers: what does not fit together fails here, as it would for a user.
        must(run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--strict-peer-deps'], app), 'npm install');
      }, 300_000);

      it('loads the sub-entries where Nest is not', () => {
        const bare = join(app, 'bare');
        cpSync(join(app, 'node_modules/nestjs-redis-streams'), join(bare, 'node_modules/nestjs-redis-streams'), { recursive: true });
        for (const name of ['ioredis', 'cluster-key-slot']) symlinkSync(join(app, 'node_modules', name), join(bare, 'node_modules', name));
        // Else Node would find the application's node_modules, one folder up.
        const alone = join(dir, `bare-${nest}-${ioredis}`);
        renameSync(bare, alone);
        const program = `Promise.all(['lease', 'partition', 'fanout', 'queue'].map((name) => import('nestjs-redis-streams/' + name))).then((all) => console.log(all.map((it) => typeof it.RedisStreamsEngine).join()))`;
        expect(must(run('node', ['-e', program], alone), 'the sub-entries').trim()).toBe('function,function,function,function');
        expect(run('node', ['-e', `import('nestjs-redis-streams')`], alone).stderr).toContain('@nestjs/common');
      });

      for (const kind of ['esm', 'cjs'] as const) {
        it(`runs handlers of leases, partitions, rooms, queues and the transport from ${kind === 'esm' ? 'ESM' : 'CommonJS'} and ends by itself`, () => {
          must(run('node', ['-e', `require('ioredis')`], app), 'ioredis loads');
          const result = run('node', [kind === 'esm' ? 'app.mjs' : 'app.cjs'], app, { REDIS_URL: redis.url, NODE_OPTIONS: '' });
          const line = must(result, 'the program').trim().split('\n').at(-1)!;
          const seen = JSON.parse(line) as Record<string, unknown>;
          expect(seen).toMatchObject({ kind, oneClass: true, withoutNest: true, stream: `order-${kind}`, info: { from: kind }, from: kind, guards: 3, parcel: `parcel-${kind}` });
          expect(seen).toMatchObject({ paid: { from: kind }, key: 'account', scoped: kind, header: kind, outside: { from: kind } });
          expect(seen).toMatchObject({ acknowledged: 2, ticked: { from: kind }, room: true, heard: { from: kind } });
          expect(seen).toMatchObject({ worked: { from: kind }, job: 'job-1', queued: { from: kind } });
          expect(seen).toMatchObject({ total: 6, emitted: { from: kind }, shopHeader: kind });
          expect(seen['epoch']).toBeGreaterThan(1e15);
          expect(String(seen['nest'])).toMatch(new RegExp(`^${nest}\\.`));
          expect(String(seen['ioredis'])).toMatch(new RegExp(`^${ioredis}\\.`));
          expect(seen['token']).toBeGreaterThan(1e15);
          expect(seen['lingeredMs']).toBeLessThan(3_000);
        }, 60_000);
      }
    });
  }
});
