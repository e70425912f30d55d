import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentAt } from './support/markdown.js';
import { namesOf, read, rowsOf, src } from './support/source.js';

const guide = documentAt('docs/transport.md').text;
const wire = documentAt('docs/wire-format.md').text;
/** What docs/wire-format.md says of the transport. */
const transport = wire.slice(wire.indexOf('\n## Transport\n'));
const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name = '']) => name);
const missing = (names: readonly string[], text: string): string[] => names.filter((name) => !text.includes(name));
/** `name`, a call, or at the end of a longer path. */
const named = (name: string, text = guide): boolean => [`\`${name}\``, `.${name}\``, `\`${name}(`, `.${name}(`].some((form) => text.includes(form));
const files = (): string => readdirSync(join(src, 'transport')).map((file) => read(`transport/${file}`)).join('\n');

describe('the documents tell all of the transport', () => {
  it('docs/transport.md has a row for every option of the transport, and of a pattern', () => {
    const section = guide.slice(guide.indexOf('\n## Options\n'));
    const [of = '', ofPattern = ''] = section.split('`streamOptions({...})`');
    const options = namesOf('options-transport.ts', 'TransportOptions');
    const patterns = [...namesOf('options-transport.ts', 'PatternOptions'), ...namesOf('options-queue.ts', 'QueueTuning').filter((name) => name !== 'blockMs')];
    expect([options.length, patterns.length]).toEqual([14, 9]);
    expect([...options.filter((name) => !named(name, of)), ...patterns.filter((name) => !named(name, ofPattern))]).toEqual([]);
    const others = [...namesOf('options-queue.ts', 'QueueProducerOptions'), ...['RetryOptions', 'BackoffOptions'].flatMap((type) => namesOf('options.ts', type))];
    expect(others.filter((name) => !named(name, section))).toEqual([]);
  });

  it('docs/transport.md has a row for every option of a record, and names all of the context, and every call', () => {
    const records = guide.slice(guide.indexOf('\n## Records, headers, expiry\n'), guide.indexOf('\n## Serializers'));
    const options = namesOf('transport/record.ts', 'RecordOptions');
    expect(options.length).toBe(5);
    expect(missing(options.map((name) => `| \`${name}\` |`), records)).toEqual([]);
    const context = guide.slice(guide.indexOf('\n## The context\n'), guide.indexOf('\n## Records'));
    const members = matches(read('transport/context.ts'), /^ {2}(?:get )?([a-z]\w+)\(.*\): /gm).filter((name) => name !== 'cancelledBy');
    expect(members.length).toBeGreaterThan(12);
    expect(members.filter((name) => !named(name, context))).toEqual([]);
    const calls = ['client', 'server'].flatMap((file) => matches(read(`transport/${file}.ts`), /^ {2}(?:override )?(?:async )?(?:get )?([a-z]\w+)(?:<.*>)?\(.*\): /gm));
    expect(calls).toEqual(expect.arrayContaining(['connect', 'close', 'emit', 'emitAsync', 'on', 'unwrap', 'listen', 'status']));
    const known = new Set(['addHandler']); // Nest's
    expect(calls.filter((name) => !known.has(name) && !named(name) && !new RegExp(`\\b${name}\\(`).test(guide))).toEqual([]);
  });

  it('the guide and the wire format name every header, the wire format every key, name and kind of reply', () => {
    const headers = matches(read('transport/headers.ts'), /: '(nrs-[a-z]+)'/g);
    expect(headers.length).toBe(7);
    for (const text of [guide, transport]) expect(headers.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
    const codecs = matches(read('transport/codec.ts'), /case '(\w+)':/g);
    expect(codecs.length).toBe(3);
    expect(missing(codecs.map((name) => `| \`${name}\` |`), transport)).toEqual([]);
    const source = read('keys/transport-keys.ts');
    const names = [...matches(source, /export const [A-Z]+ = '(\w+)'/g).filter((name) => name !== 'transport').map((name) => (name === 'responders' || name === 'routers' ? `\`${name}\`` : `<ns>:${name}\``)), '<service>.each.', '<ns>:event.', '<ns>:request.'];
    expect(names.length).toBe(6);
    const keys = matches(source, /`(\{transport:.*?\}+:\w+)`/g).map((key) => key.replace('${namespace}', '<ns>').replace('${client}', '<client>'));
    expect(keys).toEqual(['{transport:<ns>:<client>}:replies', '{transport:<ns>}:cancel']);
    expect(missing([...names, ...keys.map((key) => `| \`${key}\` |`)], transport)).toEqual([]);
    expect(matches(read('transport/wire.ts'), /(\w+): \d/g)).toEqual(['value', 'last', 'end', 'error']);
    expect(transport).toContain('0: a value, more may follow. 1: a value, and the end. 2: the end. 3: an error, and the end');
  });

  it('docs/wire-format.md has a row for every reason of a dead letter', () => {
    const reasons = new Set(matches(files(), /new DeadLetterException\('([a-z-]+)'/g));
    expect(reasons.size).toBe(5);
    expect(missing([...reasons].map((reason) => `| \`${reason}\` |`), transport)).toEqual([]);
  });

  it('docs/transport.md names everything that nestjs-redis-streams/transport exports', () => {
    const exported = matches(read('transport/index.ts'), /\{([^}]*)\}/g).flatMap((list) => list.split(',')).map((name) => name.replace('type ', '').trim()).filter(Boolean);
    expect(exported.length).toBeGreaterThan(18);
    expect(exported.filter((name) => !new RegExp(`\\b${name}\\b`).test(guide))).toEqual([]);
    // And so does the root.
    const root = read('index.ts');
    expect(exported.filter((name) => !new RegExp(`\\b${name}\\b`).test(root))).toEqual([]);
  });

  it('docs/transport.md names every event, decorator, token and static method of the Nest module', () => {
    const events = namesOf('observability/events.ts', 'RedisStreamsEventMap').filter((name) => name.startsWith('transport.'));
    expect(events.length).toBe(4);
    // `transport.callerGone` is told of in docs/events.md alone: nothing is to be done.
    expect(missing(events.filter((name) => name !== 'transport.callerGone'), guide)).toEqual([]);
    const tokens = matches(read('module/tokens.ts'), /^export function (\w*StreamsClient\w*)\(/gm);
    const module = matches(read('module/redis-streams.module.ts'), /^ {2}static (registerClient)\(/gm);
    expect([tokens.length, module.length]).toEqual([2, 1]);
    expect(missing([...tokens, ...module], guide)).toEqual([]);
  });

  it('docs/migration.md and docs/troubleshooting.md are led to, and speak of every capability', () => {
    const troubleshooting = documentAt('docs/troubleshooting.md').text;
    expect(missing(['Leases', 'Partitions', 'Rooms', 'Queues', 'Events', 'Requests', 'Dead letters'].map((name) => `\n## ${name}\n`), troubleshooting)).toEqual([]);
    for (const path of ['README.md', 'docs/transport.md']) expect(missing(['troubleshooting.md', 'migration.md'], documentAt(path).text)).toEqual([]);
    // Each error that somebody may be paged for stands there, or in a guide's own table.
    const transportErrors = ['NO_HANDLER', 'REQUEST_TIMEOUT', 'PATTERN_MISMATCH'];
    expect(missing(transportErrors, troubleshooting)).toEqual([]);
    expect(missing(transportErrors, rowsOf('docs/errors.md').join(' '))).toEqual([]);
  });
});
