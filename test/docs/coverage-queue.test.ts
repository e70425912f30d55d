import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentAt } from './support/markdown.js';
import { namesOf, read, rowsOf, src } from './support/source.js';

const guide = documentAt('docs/queue.md').text;
const wire = documentAt('docs/wire-format.md').text;
/** What docs/wire-format.md says of queues. */
const queues = wire.slice(wire.indexOf('\n## Queues\n'));
const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name = '']) => name);
const missing = (names: readonly string[], text: string): string[] => names.filter((name) => !text.includes(name));
/** `name`, `retry.name`, a call, or one of several in a row. */
const named = (name: string): boolean => [`\`${name}\``, `.${name}\``, `\`${name}(`].some((text) => guide.includes(text));
const scripts = (): string[] => readdirSync(join(src, 'scripts/lua')).filter((file) => file.startsWith('queue-'));

describe('the documents tell all of queues', () => {
  it('docs/wire-format.md names every key', () => {
    const source = read('keys/queue-keys.ts');
    const keys = matches(source, /own\((?:'|`)([a-z]+:?)/g);
    expect(keys.length).toBe(14);
    const groups = ['sessions:', 'members:', 'names:', 'retries:', 'attempts:', 'handlers:', 'control:'];
    const rows = keys.map((name) => `| \`{<tag>}:${name}${name === 'producer:' ? '<id>`' : groups.includes(name) ? '<group>`' : '`'} |`);
    expect(missing(['| `{queue:<queue>}:queue` |', ...rows], queues)).toEqual([]);
  });

  it('docs/wire-format.md names every field of a message, of a registration and of a dead letter, and every reason', () => {
    const rows = new Set(rowsOf('docs/wire-format.md'));
    const message = new Set([
      ...matches(read('scripts/lua/queue-produce.lua'), /'(key|data|headers|id)', /g), ...matches(read('scripts/lua/queue-replay.lua'), /= '(to)', group/g),
    ]);
    expect([...message].toSorted()).toEqual(['data', 'headers', 'id', 'key', 'to']);
    expect([...message].filter((name) => !rows.has(name))).toEqual([]);
    expect(missing(namesOf('queue/registration.ts', 'QueueDefinition').map((name) => `\`${name}\``), queues)).toEqual([]);
    const [, body = ''] = /const fields = \[([\s\S]*?)\];/.exec(read('queue/dead-letter.ts')) ?? [];
    const fields = matches(body, /'(\w+)', /g);
    expect(fields.length).toBeGreaterThan(7);
    const files = readdirSync(join(src, 'queue')).map((file) => read(`queue/${file}`)).join('\n') + read('scripts/lua/queue-look.lua');
    const reasons = new Set([...matches(files, /'((?:max-attempts|crashed|missing-data|invalid-json|unreadable))'/g), ...matches(files, /\.park\(\w+, \w+, '([a-z-]+)'/g)]);
    expect(reasons.size).toBe(5);
    expect(missing([...fields, ...reasons].map((name) => `\`${name}\``), queues)).toEqual([]);
  });

  it('docs/wire-format.md names everything the bell says', () => {
    const lua = [...scripts(), 'join.lua'].map((file) => read(`scripts/lua/${file}`)).join('\n');
    const said = new Set([...matches(lua, /'PUBLISH', (?:ARGV\[\d\]|bell), '(\w+)/g), ...matches(read('queue/inspect.ts'), /bell, '(\w+)'/g)]);
    expect(said.size).toBeGreaterThan(3);
    const row = queues.split('\n').find((line) => line.startsWith('| `{<tag>}:bell`')) ?? '';
    expect([...said].filter((text) => !row.includes(`\`${text}\``) && !row.includes(`\`${text} <`))).toEqual([]);
  });

  it('docs/queue.md has a row for every option', () => {
    const options = [...['QueueRegistration', 'QueueProducerOptions', 'QueueTuning', 'QueueConsumerOptions', 'QueueDefaults'].flatMap((name) => namesOf('options-queue.ts', name)), ...['RetryOptions', 'BackoffOptions'].flatMap((name) => namesOf('options.ts', name))];
    expect(options.length).toBeGreaterThan(20);
    const section = guide.slice(guide.indexOf('\n## Options\n'));
    expect([...new Set(options)].filter((name) => name !== 'retry' && !section.includes(`\`${name}\``) && !section.includes(`\`retry.${name}\``))).toEqual([]);
  });

  it('docs/queue.md names what handlers and senders get, and every call', () => {
    const types = [['queue/handler-types.ts', 'QueueContext'], ['queue/handler-types.ts', 'QueueStats'], ['queue/types.ts', 'QueueSendOptions']] as const;
    for (const [file, type] of types) expect(namesOf(file, type).filter((name) => !named(name))).toEqual([]);
    for (const type of ['SentQueueMessage', 'ClosedQueueProducer']) expect(namesOf('queue/types.ts', type).filter((name) => !new RegExp(`\\b${name}\\b`).test(guide))).toEqual([]);
    const calls = ['module/queue.service.ts', 'queue/producer.ts'].flatMap((file) => matches(read(file).replace(/@internal.*\n.*\(/g, ''), /^ {2}(?:async )?([a-z]\w+)\(/gm)).filter((name) => name !== 'constructor');
    expect(new Set(calls).size).toBeGreaterThan(11);
    expect(calls.filter((name) => !guide.includes(`\`${name}(`))).toEqual([]);
    const consumer = ['sessions', 'load', 'stop'];
    expect(missing(consumer.map((name) => `\`${name}()\``), guide)).toEqual([]);
  });

  it('docs/queue.md names every decorator, token, event and static method of the Nest module', () => {
    const tokens = matches(read('module/tokens.ts'), /^export function (InjectQueues?|getQueues?Token)\b/gm);
    const module = matches(read('module/redis-streams.module.ts'), /^ {2}static (registerQueue\w*)\(/gm);
    expect([tokens.length, module.length]).toEqual([4, 3]);
    expect(missing(['@QueueHandler', ...tokens], guide)).toEqual([]);
    expect(missing(module.map((name) => `RedisStreamsModule.${name}(`), guide)).toEqual([]);
    const events = namesOf('observability/events.ts', 'RedisStreamsEventMap').filter((name) => name.startsWith('queue.'));
    expect(events.length).toBeGreaterThan(5);
    expect(missing(events.map((name) => `\`${name}\``), guide)).toEqual([]);
  });

  it('docs/architecture.md names the script of every transition', () => {
    const names = scripts().map((file) => file.replace('.lua', '')).filter((name) => name !== 'queue-replay');
    expect(names.length).toBeGreaterThan(5);
    expect(missing(names, documentAt('docs/architecture.md').text)).toEqual([]);
  });
});
