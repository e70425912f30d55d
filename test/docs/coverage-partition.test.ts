import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentAt } from './support/markdown.js';
import { namesOf, read, rowsOf, src } from './support/source.js';

const guide = documentAt('docs/partition.md').text;
const wire = documentAt('docs/wire-format.md').text;
const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name = '']) => name);
const missing = (names: readonly string[], text: string): string[] => names.filter((name) => !text.includes(name));
/** `name`, `retry.name`, or at the end of a longer path. */
const named = (name: string): boolean => [`\`${name}\``, `.${name}\``, `\`${name}.`].some((text) => guide.includes(text));

describe('the documents tell all of partitions', () => {
  it('docs/wire-format.md names every key', () => {
    const source = read('keys/partition-keys.ts');
    const between = (from: string, to: string): string => source.slice(source.indexOf(from), source.indexOf(to));
    const shard = matches(between('function shardKeys', 'function shardOf'), /own\((?:'|`)([a-z]+:?)/g).map((name) => `{<stream>/<shard>}:${name}${name.endsWith(':') ? '<' : '`'}`);
    const group = matches(between('function groupKeys', 'function fullName'), /own\('([a-z]+)'\)/g).map((name) => `{<stream>#<group>}:${name}\``);
    expect([shard.length, group.length]).toEqual([4, 9]);
    expect(missing(['{<stream>}:stream`', '{<stream>/<shard>}:<partition>`', ...shard, ...group], wire)).toEqual([]);
  });

  it('docs/wire-format.md names every part of a position, every field of a group, of a registration and of a message', () => {
    const position = matches(/if not raw then return \{(.*)\}/.exec(read('scripts/lua/include/position.lua'))?.[1] ?? '', /(\w+) = /g);
    expect(position.length).toBe(8);
    const rows = new Set(rowsOf('docs/wire-format.md'));
    const camel = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    expect(missing(position.map((name) => `\n| ${camel(name)} | `), wire)).toEqual([]);

    const sync = read('scripts/lua/partition-sync.lua');
    const group = new Set([...matches(sync, /HMGET', KEYS\[6\], ([^)]+)\)/g).flatMap((list) => matches(list, /'(\w+)'/g)), ...matches(sync, /HSET', KEYS\[6\], '(\w+)'/g)]);
    expect(group.size).toBeGreaterThan(5);
    expect([...group].filter((name) => !rows.has(name))).toEqual([]);

    const registration = matches(read('scripts/lua/register.lua'), /'(definition|by|at)'/g);
    expect(registration.filter((name) => !rows.has(name))).toEqual([]);
    expect(missing(namesOf('partition/registration.ts', 'StreamDefinition').map((name) => `\`${name}\``), wire)).toEqual([]);
    const message = new Set(matches(read('scripts/lua/partition-produce.lua'), /'(key|data|headers)', /g));
    expect([...message].toSorted()).toEqual(['data', 'headers', 'key']);
    expect([...message].filter((name) => !rows.has(name))).toEqual([]);
  });

  it('docs/wire-format.md names every field of a dead letter, and every reason', () => {
    const files = readdirSync(join(src, 'partition')).filter((file) => file.endsWith('.ts')).map((file) => read(`partition/${file}`)).join('\n');
    const [, body = ''] = /function deadLetterFields[\s\S]*?const fields = \[([\s\S]*?)\];/.exec(files) ?? [];
    const fields = [...matches(body, /'(\w+)', /g), 'at'];
    expect(fields.length).toBeGreaterThan(9);
    const reasons = [...matches(files, /\.park\(\w+, (?:[^,]* \? outcome\.reason : )?'([a-z-]+)'/g), ...matches(files, /reason: ('[a-z-]+'(?: \| '[a-z-]+')*),/g).flatMap((list) => matches(list, /'([a-z-]+)'/g)).filter((reason) => files.includes(`UnreadableError(entry, '${reason}'`))];
    expect(new Set(reasons)).toEqual(new Set(['max-attempts', 'crashed', 'missing-data', 'invalid-json']));
    expect(missing([...fields, ...reasons].map((name) => `\`${name}\``), wire)).toEqual([]);
  });

  it('docs/wire-format.md names everything the bell of a group says', () => {
    const lua = ['join', 'include/group', ...readdirSync(join(src, 'scripts/lua')).filter((file) => file.startsWith('partition-')).map((file) => file.replace('.lua', ''))];
    const said = new Set(lua.flatMap((name) => matches(read(`scripts/lua/${name}.lua`), /(?:'PUBLISH', [^,]+|changed\(bell|changed\(ARGV\[3\]), '(\w+)/g)));
    expect(said.size).toBeGreaterThan(7);
    const row = wire.split('\n').find((line) => line.startsWith('| `{<stream>#<group>}:bell`')) ?? '';
    expect(missing([...said].map((text) => `\`${text}`), row)).toEqual([]);
  });

  it('docs/partition.md names every option', () => {
    const options = ['RetentionOptions', 'StreamRegistration', 'RetryOptions', 'BackoffOptions', 'PartitionTuning', 'PartitionConsumerOptions', 'PartitionDefaults'].flatMap((name) => namesOf('options.ts', name));
    expect(options.length).toBeGreaterThan(25);
    expect(options.filter((name) => !named(name))).toEqual([]);
  });

  it('docs/partition.md names what handlers get, and every call', () => {
    for (const type of ['Delivery', 'PartitionMessage', 'OutgoingMessage']) expect(namesOf('partition/types.ts', type).filter((name) => !named(name) && !named(`${name}()`))).toEqual([]);
    const calls = matches(read('partition/client.ts'), /^ {2}(?:async )?([a-z]\w+)\(/gm).filter((name) => !['constructor', 'close', 'group', 'checked', 'nameOf'].includes(name));
    expect(calls.length).toBeGreaterThan(12);
    expect(calls.filter((name) => !guide.includes(`\`${name}(`))).toEqual([]);
    const views = ['GroupMember', 'PartitionOwner', 'GroupAssignment', 'PartitionLag', 'PartitionDeadLetter'].flatMap((type) => namesOf('partition/types.ts', type));
    expect(views.filter((name) => !new RegExp(`\\b${name}\\b`).test(guide))).toEqual([]);
  });

  it('docs/partition.md names every decorator and static method of the Nest module', () => {
    const decorators = matches(read('module/decorators/partition-handler.ts'), /^export function (\w+)/gm);
    const tokens = matches(read('module/tokens.ts'), /^export function (Inject(?:Stream|Partitions))\b/gm);
    const module = matches(read('module/redis-streams.module.ts'), /^ {2}static (register(?:Stream\w*|Producer))\(/gm);
    expect([decorators.length, tokens.length, module.length].every((count) => count > 1)).toBe(true);
    expect(missing([...decorators, ...tokens].map((name) => `@${name}`), guide)).toEqual([]);
    expect(missing(module.map((name) => `RedisStreamsModule.${name}(`), guide)).toEqual([]);
  });

  it('docs/architecture.md names the script of every transition', () => {
    const { text } = documentAt('docs/architecture.md');
    const scripts = readdirSync(join(src, 'scripts/lua')).filter((file) => file.startsWith('partition-')).map((file) => `\`${file.replace('.lua', '')}\``);
    expect(scripts.length).toBeGreaterThan(8);
    expect(missing(scripts, text)).toEqual([]);
  });
});
