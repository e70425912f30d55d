// Finds a redis-server or valkey-server binary, and installs one for the tests where that is possible.
// It never starts a server and never looks at one that is already running.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** The oldest server the library supports: script flags and CLUSTER ADDSLOTSRANGE came with Redis 7.0. */
export const MINIMUM_MAJOR = 7;

const DOWNLOADER = 'redis-memory-server@0.17.1';
const DOWNLOAD_VERSION = '7.2.7';

/** @param {NodeJS.ProcessEnv} env */
export function redisCacheDir(env = process.env) {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nestjs-redis-streams', 'redis');
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** @param {string} server */
function describe(server, source) {
  const { status, stdout } = spawnSync(server, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const match = status === 0 ? /v=((\d+)[\d.]*)/.exec(stdout) : null;
  if (!match || Number(match[2]) < MINIMUM_MAJOR) return undefined;
  const kind = /valkey/i.test(stdout) ? 'valkey' : 'redis';
  const clis = [`${kind}-cli`, 'redis-cli', 'valkey-cli'].map((name) => join(dirname(server), name));
  return { server, cli: clis.find(isExecutable), kind, version: match[1], source };
}

/**
 * A usable server binary on PATH, else one that an earlier `ensureRedisBinary()` downloaded.
 * Binaries that do not start or are older than Redis 7 are passed over.
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 */
export function findRedisBinary({ env = process.env } = {}) {
  const folders = (env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const name of ['redis-server', 'valkey-server']) {
    for (const folder of folders) {
      const file = join(folder, name);
      const found = isExecutable(file) ? describe(file, 'path') : undefined;
      if (found) return found;
    }
  }
  const cached = join(redisCacheDir(env), DOWNLOAD_VERSION, 'redis-server');
  return isExecutable(cached) ? describe(cached, 'cache') : undefined;
}

/** What `ensureRedisBinary()` would do here, in order. Pure but for `facts`, so that it can be tested. */
export function installPlan(facts = installFacts()) {
  const plan = [];
  if (facts.root && facts.debian && facts.apt) plan.push('apt-get');
  // The downloader compiles the sources, so it is of no use without a compiler.
  if (facts.platform !== 'win32' && facts.make && facts.compiler) plan.push('download');
  return plan;
}

function installFacts(env = process.env) {
  const has = (name) => (env.PATH ?? '').split(delimiter).some((folder) => folder && isExecutable(join(folder, name)));
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return {
    platform: process.platform,
    root: process.getuid?.() === 0,
    debian: /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release),
    apt: has('apt-get'),
    make: has('make'),
    compiler: has('cc') || has('gcc') || has('clang'),
  };
}

/**
 * apt-get's package would start a daemon on 6379. A policy-rc.d that answers 101 forbids it; services that
 * already run are not touched, since the policy is only asked about what this installation wants to start.
 * A shell script, not Node, so that the trap puts the old policy back even when Ctrl-C ends us.
 */
export const APT_SCRIPT = `set -eu
policy="\${POLICY_FILE:-/usr/sbin/policy-rc.d}"
saved="$policy.nestjs-redis-streams-saved"
restore() {
  [ -z "\${ours:-}" ] || rm -f "$policy"
  [ ! -e "$saved" ] || mv -f "$saved" "$policy"
}
trap restore EXIT
trap 'exit 130' INT HUP
trap 'exit 143' TERM
denied=0
if [ -x "$policy" ]; then
  "$policy" redis-server start >/dev/null 2>&1 || denied=$?
fi
if [ "$denied" != 101 ]; then
  [ ! -e "$policy" ] || mv "$policy" "$saved"
  ours=1
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -y -o DPkg::Lock::Timeout=120 --no-install-recommends install redis-server
`;

// Run inside the cache folder, where the downloader was installed; never a dependency of the workspace.
const DOWNLOAD_SCRIPT = `
const { RedisBinary } = require('redis-memory-server');
RedisBinary.getPath({ version: process.argv[1], downloadDir: process.argv[2], systemBinary: '' })
  .then(() => process.exit(0), (error) => { console.error(String(error)); process.exit(1); });
`;

/** Output is kept and its last line becomes the reason of a failure. */
function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let tail = '';
    const keep = (chunk) => { tail = (tail + chunk).slice(-2000); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => {
      const last = tail.trim().split('\n').filter(Boolean).pop() ?? '';
      resolve(code === 0 ? undefined : `${command} exited with ${code}${last ? ` (${last.trim()})` : ''}`);
    });
  });
}

async function download() {
  const cache = redisCacheDir();
  mkdirSync(cache, { recursive: true });
  // A package.json of its own: npm would otherwise walk up and install into somebody else's project.
  writeFileSync(join(cache, 'package.json'), '{ "private": true }\n');
  const env = {
    ...process.env,
    REDISMS_DISABLE_POSTINSTALL: '1',
    // The downloader checks certificates only when npm's setting says so.
    npm_config_strict_ssl: 'true',
  };
  const installed = await run(
    'npm', ['install', '--silent', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', DOWNLOADER], { cwd: cache, env });
  return installed ?? run(process.execPath, ['-e', DOWNLOAD_SCRIPT, DOWNLOAD_VERSION, cache], { cwd: cache, env });
}

const STEPS = {
  'apt-get': { label: 'installing redis-server with apt-get', act: () => run('sh', ['-c', APT_SCRIPT]) },
  download: { label: `building Redis ${DOWNLOAD_VERSION} with ${DOWNLOADER}`, act: download },
};

/** Finds a server binary or installs one; throws an Error with a one-line message when neither works. */
export async function ensureRedisBinary({ log = (line) => process.stderr.write(`${line}\n`) } = {}) {
  const found = findRedisBinary();
  if (found) return found;
  const failures = [];
  for (const name of installPlan()) {
    const step = STEPS[name];
    log(`No redis-server found: ${step.label} ...`);
    const failure = await step.act();
    const installed = findRedisBinary();
    if (installed) return installed;
    failures.push(`${name}: ${failure ?? 'done, yet no server of Redis 7 or later is on PATH'}`);
  }
  const tried = failures.length > 0 ? ` (tried ${failures.join('; ')})` : '';
  throw new Error(`No redis-server or valkey-server found: install Redis 7.0+ or Valkey 7.2+ and put it on PATH${tried}.`);
}
