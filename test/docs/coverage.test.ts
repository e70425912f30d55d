import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repoRoot } from '../support/repo.js';
import { documentAt, documents } from './support/markdown.js';
import { namesOf, read, rowsOf, src } from './support/source.js';

describe('the documents are complete', () => {
  it('docs/errors.md has a row for every error code, and no other', () => {
    const codes = namesOf('errors/index.ts', 'ErrorCode');
    const listed = rowsOf('docs/errors.md').filter((cell) => /^[A-Z_]+$/.test(cell));
    expect(listed.toSorted()).toEqual(codes.toSorted());
  });

  it('docs/errors.md explains every reason of an abort, of a lost partition or message and of an ejection', () => {
    const rows = rowsOf('docs/errors.md');
    const types = [['errors/index.ts', 'AbortReason'], ['errors/index.ts', 'PartitionLossReason'], ['errors/index.ts', 'EjectReason'], ['errors/queue.ts', 'MessageLossReason']] as const;
    for (const [file, type] of types) expect(namesOf(file, type).filter((reason) => !rows.includes(reason))).toEqual([]);
  });

  it('docs/events.md has a row for every event, and no other', () => {
    const events = namesOf('observability/events.ts', 'RedisStreamsEventMap');
    expect(rowsOf('docs/events.md').toSorted()).toEqual(events.toSorted());
  });

  it('docs/wire-format.md names every key of leases, and every reason for a dead letter', () => {
    const { text } = documentAt('docs/wire-format.md');
    const keys = [...read('keys/lease-keys.ts').matchAll(/own\('([^']+)'\)/g)].map(([, name]) => `{<service>-input}:${name}`);
    expect(keys.length).toBeGreaterThan(8);
    const lua = readdirSync(join(src, 'scripts/lua'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.lua')).map((file) => read(`scripts/lua/${file}`)).join('\n');
    const reasons = new Set([
      ...[...lua.matchAll(/return nil, '([a-z-]+)'/g)].map(([, reason = '']) => reason),
      ...namesOf('kernel/announcement.ts', 'AnnouncementProblem'),
      'max-attempts',
    ]);
    expect([...keys, ...[...reasons].map((reason) => `\`${reason}\``)].filter((name) => !text.includes(name))).toEqual([]);
  });

  it('docs/lease.md and docs/operations.md name every option', () => {
    const text = documentAt('docs/lease.md').text + documentAt('docs/operations.md').text;
    // `name`, `session.name` or `name.part`
    const options = ['SessionOptions', 'BackoffOptions', 'LeaseTuning', 'RedisStreamsOptions'].flatMap((name) => namesOf('options.ts', name));
    expect(options.filter((name) => !text.includes(`\`${name}\``) && !text.includes(`.${name}\``) && !text.includes(`\`${name}.`))).toEqual([]);
  });

  const named = (folder: string): string[] =>
    readdirSync(join(repoRoot, folder), { encoding: 'utf8' }).flatMap((file) => [...readFileSync(join(repoRoot, folder, file), 'utf8').matchAll(/^ {2}name: '([\w-]+)'/gm)].map(([, name = '']) => name));

  const benches = (): string[] => ['apps/bench/src/benches', 'apps/bench/src/queue', 'apps/bench/src/transport'].flatMap(named);

  it('CONTRIBUTING.md names every chaos scenario and every bench', () => {
    const names = [...named('test/chaos/scenarios'), ...benches()];
    expect(names.length).toBeGreaterThan(15);
    const { text } = documentAt('CONTRIBUTING.md');
    expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('name only chaos scenarios and benches that exist', () => {
    const known = { chaos: [...named('test/chaos/scenarios'), 'all', 'NAME'], bench: [...benches(), 'lease', 'partition', 'fanout', 'queue', 'transport', 'NAME'] };
    const unknown = documents().flatMap(({ path, text }) =>
      [...text.matchAll(/npm run (chaos|bench) -- ([\w-]+)/g)].filter(([, tool, name = '']) => !known[tool as keyof typeof known].includes(name)).map(([match]) => `${path}: ${match}`),
    );
    expect(unknown).toEqual([]);
  });

  it('docs/architecture.md lists the layers as the lint rule has them, and every source file', () => {
    const { text } = documentAt('docs/architecture.md');
    const [, map = ''] = /MAY_IMPORT = \{([\s\S]*?)\n\};/.exec(readFileSync(join(repoRoot, 'tools/check-layers.mjs'), 'utf8')) ?? [];
    const rules = [...map.matchAll(/^ {2}'?([\w-]+)'?: \[(.*)\]/gm)].map(([, layer = '', list = '']) => {
      const allowed = [...list.matchAll(/'([\w-]+)'/g)].map(([, name]) => name).join(', ');
      return `| \`${layer}\` | ${allowed === '' ? 'nothing' : allowed} |`;
    });
    expect(rules.length).toBeGreaterThan(9);
    expect(rules.filter((row) => !text.includes(row))).toEqual([]);
    const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => /\.(ts|lua)$/.test(file) && !file.endsWith('lua.generated.ts'));
    const names = files.map((file) => file.replaceAll('\\', '/').split('/').at(-1) as string);
    expect(names.filter((name) => !text.includes(name))).toEqual([]);
  });
});
