import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { APT_SCRIPT, findRedisBinary, installPlan } from '../../../tools/redis-binary.mjs';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'nrs-binary-')); });
afterEach(() => { rmSync(dir, { recursive: true, force: true }); });
const script = (name: string, body: string): void => {
  writeFileSync(join(dir, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(dir, name), 0o755);
};
const find = (): ReturnType<typeof findRedisBinary> => findRedisBinary({ env: { PATH: dir, XDG_CACHE_HOME: dir } });

describe('findRedisBinary', () => {
  it('finds the server of this machine with its version', () => {
    expect(Number.parseInt(findRedisBinary()?.version ?? '0', 10)).toBeGreaterThanOrEqual(7);
  });

  it('takes valkey with its own cli', () => {
    script('valkey-server', 'echo "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64 build=0"');
    script('valkey-cli', 'true');
    script('redis-cli', 'true');
    expect(find()).toEqual({
      server: join(dir, 'valkey-server'), cli: join(dir, 'valkey-cli'), kind: 'valkey', version: '8.0.1', source: 'path',
    });
  });

  it('passes over servers that are too old or do not start', () => {
    script('redis-server', 'echo "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64 build=0"');
    script('valkey-server', 'exit 1');
    expect(find()).toBeUndefined();
  });
});

describe('installing', () => {
  const facts = { platform: 'linux' as const, root: true, debian: true, apt: true, make: true, compiler: true };

  it('tries apt-get only as root on Debian and the download only with a compiler', () => {
    expect(installPlan(facts)).toEqual(['apt-get', 'download']);
    expect(installPlan({ ...facts, root: false })).toEqual(['download']);
    expect(installPlan({ ...facts, debian: false, compiler: false })).toEqual([]);
  });

  it('says in one line what to install when nothing can be done', () => {
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `
      import { ensureRedisBinary } from ${JSON.stringify(new URL('../../../tools/redis-binary.mjs', import.meta.url).href)};
      await ensureRedisBinary().catch((error) => { process.stderr.write(error.message); process.exit(3); });
    `], { env: { PATH: dir, XDG_CACHE_HOME: dir }, encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stderr).toBe('No redis-server or valkey-server found: install Redis 7.0+ or Valkey 7.2+ and put it on PATH.');
  });

  /** The real script with a stand-in for apt-get that reports what a package's service start would be told. */
  const runApt = (aptExit = 0): { status: number | null; log: string } => {
    const log = join(dir, 'log');
    script('apt-get', `echo "apt-get $*" >>${log}\ncase "$*" in *install*) s=0; ${dir}/policy redis-server start || s=$?; echo "policy says $s" >>${log}; exit ${aptExit};; esac`);
    const { status } = spawnSync('/bin/sh', ['-c', APT_SCRIPT], { env: { PATH: `${dir}:${process.env['PATH']}`, POLICY_FILE: join(dir, 'policy') } });
    return { status, log: readFileSync(log, 'utf8') };
  };

  it('forbids the start of the service while it installs, and only then', () => {
    const { status, log } = runApt();
    expect(status).toBe(0);
    expect(log).toMatch(/^apt-get .* update\napt-get .* install redis-server\npolicy says 101\n$/);
    expect(existsSync(join(dir, 'policy'))).toBe(false);
  });

  it.each([0, 100])('puts an existing, permitting policy back (apt-get exits with %i)', (aptExit) => {
    script('policy', 'exit 0 # the old one');
    const { status, log } = runApt(aptExit);
    expect(status).toBe(aptExit);
    expect(log).toContain('policy says 101');
    expect(readFileSync(join(dir, 'policy'), 'utf8')).toContain('the old one');
  });

  it('leaves a forbidding policy alone', () => {
    script('policy', 'exit 101 # the old one');
    expect(runApt().log).toContain('policy says 101');
    expect(readFileSync(join(dir, 'policy'), 'utf8')).toContain('the old one');
  });
});
