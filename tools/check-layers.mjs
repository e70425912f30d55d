// Enforces docs/architecture.md: imports point down only, the kernel is pure, Nest stays in module/ and transport/.
// Exits 1 with one line per breach.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = join(dirname(fileURLToPath(import.meta.url)), '../libs/redis-streams/src');

/** Folder -> folders it may import from, besides itself. '' is a file at the top of src. */
const MAY_IMPORT = {
  errors: [],
  kernel: ['errors', 'options'],
  keys: ['errors', 'kernel'],
  options: ['errors', 'options-queue', 'options-transport'],
  'options-queue': ['options'],
  'options-transport': ['options'],
  observability: ['errors', 'options'],
  scripts: [],
  redis: ['errors', 'kernel', 'keys', 'scripts', 'observability', 'options'],
  handling: ['errors', 'kernel', 'options'],
  session: ['errors', 'kernel', 'keys', 'redis', 'observability', 'options'],
  lease: ['errors', 'kernel', 'keys', 'redis', 'session', 'observability', 'options'],
  partition: ['errors', 'kernel', 'keys', 'redis', 'session', 'handling', 'observability', 'options'],
  fanout: ['errors', 'kernel', 'keys', 'redis', 'session', 'observability', 'options'],
  queue: ['errors', 'kernel', 'keys', 'redis', 'session', 'handling', 'observability', 'options'],
  'dead-letters': ['errors', 'kernel', 'keys', 'redis', 'handling', 'partition', 'fanout', 'observability', 'options'],
  'engine-consumers': ['engine-options', 'errors', 'keys', 'redis', 'session', 'lease', 'partition', 'queue', 'observability', 'options'],
  'engine-options': ['errors', 'keys', 'session', 'lease', 'partition', 'fanout', 'queue', 'options'],
  engine: ['engine-options', 'engine-consumers', 'errors', 'kernel', 'keys', 'redis', 'session', 'lease', 'partition', 'fanout', 'queue', 'dead-letters', 'observability', 'options'],
  transport: ['errors', 'kernel', 'keys', 'redis', 'handling', 'partition', 'queue', 'observability', 'options', 'options-transport', 'engine', 'engine-consumers'],
  module: ['transport', 'options-transport', 'errors', 'kernel', 'keys', 'redis', 'session', 'lease', 'partition', 'fanout', 'queue', 'dead-letters', 'observability', 'options', 'engine'],
  index: ['transport', 'options-transport', 'errors', 'lease', 'partition', 'fanout', 'queue', 'dead-letters', 'observability', 'options', 'engine', 'module'],
};
/** Packages a layer may name; the pure ones may name none. */
const PACKAGES = {
  redis: [/^ioredis$/, /^cluster-key-slot$/],
  options: [/^ioredis$/],
  transport: [/^@nestjs\/(common|microservices)$/, /^rxjs/, /^msgpackr$/],
  module: [/^@nestjs\//, /^rxjs/, /^reflect-metadata$/],
};
const PURE = new Set(['kernel', 'errors', 'keys']);
const IMPURE = /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|Math\.random)\b/;
/** Capabilities talk to Redis in their store and readers only. */
const IMPORT = /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|import\('([^']+)'\)/g;

const breaches = [];
/** `lease/index.ts` and its like are sub-entry points: they may show the engine beside their capability. */
const layerOf = (file) => {
  const [first, second, ...rest] = relative(src, file).split('/');
  return second === 'index.ts' && rest.length === 0 && first !== 'errors' && first !== 'module' ? 'index' : first.replace(/\.ts$/, '');
};

for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
  const file = join(entry.parentPath, entry.name);
  const layer = layerOf(file);
  const where = relative(src, file);
  const text = readFileSync(file, 'utf8');
  if (!(layer in MAY_IMPORT)) breaches.push(`${where}: layer "${layer}" is not in the map`);
  if (layer === 'kernel' && IMPURE.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ''))) breaches.push(`${where}: the kernel gets time and chance as parameters`);
  const lines = text.split('\n').length;
  if (lines > 320 && entry.name !== 'lua.generated.ts') breaches.push(`${where}: ${lines} lines; look for the second idea`);
  if (entry.name !== 'lua.generated.ts' && !where.endsWith('compat.ts') && /\bany\b/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|'[^'\n]*'|`[^`]*`/g, ''))) breaches.push(`${where}: uses the type any`);
  for (const [, from, lazy] of text.matchAll(IMPORT)) {
    const target = from ?? lazy;
    if (target.startsWith('.')) {
      const to = layerOf(resolve(dirname(file), target.replace(/\.js$/, '.ts')));
      if (to !== layer && !MAY_IMPORT[layer]?.includes(to)) breaches.push(`${where}: ${layer} may not import ${to}`);
    } else if (!target.startsWith('node:')) {
      if (!(PACKAGES[layer] ?? []).some((pattern) => pattern.test(target))) breaches.push(`${where}: ${layer} may not import ${target}`);
    } else if (PURE.has(layer) && target !== 'node:buffer') breaches.push(`${where}: ${layer} may not import ${target}`);
  }
}
for (const breach of breaches) console.error(breach);
if (breaches.length > 0) process.exit(1);
console.log('layers: imports point down');
