import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentAt } from './support/markdown.js';
import { namesOf, read, rowsOf, src } from './support/source.js';

const guide = documentAt('docs/fanout.md').text;
const wire = documentAt('docs/wire-format.md').text;
/** What docs/wire-format.md says of rooms. */
const rooms = wire.slice(wire.indexOf('\n## Rooms\n'));
const matches = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name = '']) => name);
const missing = (names: readonly string[], text: string): string[] => names.filter((name) => !text.includes(name));
/** `name`, `retry.name`, or a call. */
const named = (name: string): boolean => [`\`${name}\``, `.${name}\``, `\`${name}(`, `\`${name}:`].some((text) => guide.includes(text));
const scripts = (): string[] => readdirSync(join(src, 'scripts/lua')).filter((file) => file.startsWith('fanout-'));

describe('the documents tell all of rooms', () => {
  it('docs/wire-format.md names every key', () => {
    const source = read('keys/fanout-keys.ts');
    const [, ofShard = ''] = /function fanoutShardKeys([\s\S]*?)\n\}/.exec(source) ?? [];
    const [, ofRoom = ''] = /function roomKeys([\s\S]*?)\n\}/.exec(source) ?? [];
    const shard = matches(ofShard, /own\((?:'|`)([a-z]+:?)/g).map((name) => `| \`{fanout:<shard>}:${name}${name.endsWith(':') ? '<' : '`'}`);
    const room = matches(ofRoom, /own\('([a-z]+)'\)/g).map((name) => `| \`{fanout:<shard>}:${name}:<room>\` |`);
    expect([shard.length, room.length]).toEqual([11, 3]);
    expect(missing(['| `{fanout:0}:fanout`', ...shard, ...room], rooms)).toEqual([]);
  });

  it("docs/wire-format.md names every field of a room's state, of a sender, of the registration and of a dead letter", () => {
    const lua = ['include/room.lua', 'include/advance.lua', 'include/take.lua', ...scripts()].map((file) => read(`scripts/lua/${file}`)).join('\n');
    const ofState = matches(lua, /'(?:HSET|HMGET|HGET|HDEL|HINCRBY)', (?:room\.state|state|KEYS\[at\]|KEYS\[i\]), (.*)$/gm).flatMap((args) => matches(args, /'([a-z]+)'/g));
    const state = new Set(ofState);
    expect([...state].toSorted()).toEqual(['allowed', 'async', 'due', 'ejected', 'left', 'noted', 'number', 'plain', 'sender', 'sync', 'text', 'turn', 'until', 'who']);
    const rows = new Set(matches(rooms.slice(rooms.indexOf('### State of a room'), rooms.indexOf('### What a room says')), /^\| `(\w+)` \|/gm));
    expect([...rows].toSorted()).toEqual([...state].toSorted());

    const sender = new Set(matches(read('scripts/lua/fanout-send.lua'), /'HSET', KEYS\[5\], (.*)\)/g).flatMap((args) => matches(args, /'([a-z]+)'/g)));
    expect(sender.size).toBe(2);
    const registration = new Set(matches(read('scripts/lua/fanout-register.lua'), /'HSETNX', KEYS\[1\], '([a-z]+)'/g));
    expect(registration.size).toBe(2);
    const letters = matches(lua, /'XADD', DEAD,([\s\S]*?)\)\n/g).flatMap((letter) => matches(letter, /'([a-z-]+)'/g));
    const fields = new Set(letters);
    expect(fields.size).toBe(10);
    expect(missing([...sender, ...registration, ...fields].map((name) => `\`${name}\``), rooms)).toEqual([]);
  });

  it('docs/wire-format.md names everything a room and the bell say', () => {
    const lua = ['include/room.lua', 'include/advance.lua', 'include/take.lua', ...scripts()].map((file) => read(`scripts/lua/${file}`)).join('\n');
    const inScripts = [...matches(lua, /(?:publish\((?:room\.)?state, |text = (?:id and )?)'(\w)/g), /outOfBand[\s\S]*?`(o)\$\{id\}/.exec(read('fanout/store.ts'))?.[1]];
    const parsed = matches(read('kernel/room-wire.ts'), /case '(\w)':/g);
    expect(new Set(inScripts)).toEqual(new Set(parsed));
    expect(parsed.filter((kind) => !new RegExp(`^\\| \`${kind}[<\`]`, 'm').test(rooms))).toEqual([]);
    const said = [...matches(lua, /'PUBLISH', TAG \.\. 'bell', '(\w+)'/g), ...matches(read('scripts/lua/join.lua'), /'PUBLISH', ARGV\[7\], '(\w+)'/g)];
    expect(said.length).toBe(2);
    const row = rooms.split('\n').find((line) => line.startsWith('| `{fanout:<shard>}:bell`')) ?? '';
    expect(missing(said.map((text) => `\`${text}\``), row)).toEqual([]);
  });

  it('docs/fanout.md names every option', () => {
    const options = ['RetryOptions', 'BackoffOptions', 'RoomTuning', 'RoomHandlerOptions', 'FanoutOptions'].flatMap((name) => namesOf('options.ts', name));
    expect(options.length).toBeGreaterThan(18);
    expect(options.filter((name) => !named(name))).toEqual([]);
    const rows = new Set(rowsOf('docs/fanout.md'));
    expect(options.filter((name) => !rows.has(name) && !rows.has(`retry.${name}`) && name !== 'retry')).toEqual([]);
  });

  it('docs/fanout.md names what handlers and senders get, and every call', () => {
    for (const type of ['RoomMessage', 'RoomContext', 'EjectedSubscriber', 'RoomHooks', 'RoomSendOptions', 'AckedRoomMessage']) expect(namesOf('fanout/types.ts', type).filter((name) => !named(name))).toEqual([]);
    const views = ['RoomSubscription', 'RoomMember', 'RoomState', 'PeekedMessage', 'FanoutMetrics'].flatMap((type) => namesOf('fanout/types.ts', type));
    expect(views.filter((name) => !new RegExp(`\\b${name}\\b`).test(guide))).toEqual([]);
    const calls = matches(read('module/fanout.service.ts'), /^ {2}(?:async )?([a-z]\w+)\(/gm).filter((name) => name !== 'constructor');
    expect(new Set(calls).size).toBeGreaterThan(7);
    expect(calls.filter((name) => !guide.includes(`\`${name}(`))).toEqual([]);
  });

  it('docs/fanout.md names every decorator', () => {
    const decorators = new Set(matches(read('module/decorators/on-room.ts'), /^export function (\w+)/gm));
    const tokens = matches(read('module/tokens.ts'), /^export function (InjectFanout)\b/gm);
    expect([decorators.size, tokens.length]).toEqual([3, 1]);
    expect(missing([...decorators, ...tokens].map((name) => `@${name}`), guide)).toEqual([]);
  });

  it('docs/architecture.md names the script of every transition', () => {
    const { text } = documentAt('docs/architecture.md');
    const names = scripts().map((file) => `\`${file.replace('.lua', '')}\``);
    expect(names.length).toBeGreaterThan(9);
    expect(missing(names, text)).toEqual([]);
  });
});
