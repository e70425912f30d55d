import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';

const folder = new URL('../../../libs/redis-streams/src/scripts/lua/', import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith('.lua'));
const read = (file: string): string => readFileSync(new URL(file, folder), 'utf8');
/** The comment at the top. */
const header = (source: string): string => /^#![^\n]*\n((?:--[^\n]*\n)+)/.exec(source)?.[1] ?? '';
const section = (text: string, word: string): string => new RegExp(`^-- ${word} (?: ?)([^]*?)(?=^-- (?:KEYS|ARGV|Reply)\\b|^--@|(?![^]))`, 'm').exec(text)?.[1] ?? '';

describe.each(files)('%s', (file) => {
  const source = read(file);
  const text = header(source);

  it('is embedded under its name, its includes spliced in', () => {
    const embedded = LUA[file.slice(0, -4) as keyof typeof LUA];
    expect(embedded).toBeDefined();
    expect(embedded).not.toContain('--@include');
    expect(embedded.startsWith(source.split('\n', 1)[0]!)).toBe(true);
  });

  it('says what it is for, then its KEYS, ARGV and Reply', () => {
    expect(source.startsWith('#!lua')).toBe(true);
    expect(text.split('\n')[0]).toMatch(/^-- [A-Z].{20,}/);
    const takesNothing = !source.includes('ARGV[');
    for (const word of ['KEYS', 'Reply', ...(takesNothing ? [] : ['ARGV'])]) expect(text).toMatch(new RegExp(`^-- ${word} `, 'm'));
  });

  it.each(['KEYS', 'ARGV'] as const)('numbers its %s without a gap, and uses none beyond them', (word) => {
    const described = section(text, word);
    if (word === 'ARGV' && !source.includes('ARGV[')) return expect(described).toBe('');
    const numbers = [...described.matchAll(/(?:^|\s)(\d+)(?:\.\.\.)? (?=\S)/g)].map((match) => Number(match[1])).filter((n, i, all) => n === (i === 0 ? 1 : all[i - 1]! + 1));
    expect(numbers[0]).toBe(1);
    const open = /\d+\.\.\. /.test(described);
    const used = [...source.slice(text.length).matchAll(new RegExp(`${word}\\[(\\d+)\\]`, 'g'))].map((match) => Number(match[1]));
    if (!open) expect(Math.max(0, ...used)).toBeLessThanOrEqual(numbers.length);
  });

  it('touches only keys it was given: no name is put together inside', () => {
    const body = source.slice(source.indexOf(text) + text.length);
    expect(body).not.toMatch(/redis\.p?call\(\s*'[A-Z]+'\s*,\s*(?:'[^']*'\s*\.\.|"[^"]*"\s*\.\.)/);
    expect(body).not.toMatch(/(?<!lbs)[-:]input|\{[^}]*\}:/);
  });
});

it('what keeps sessions alive or ends work runs when memory is full', () => {
  const allowed = files.filter((file) => read(file).startsWith('#!lua flags=allow-oom')).sort();
  expect(allowed).toEqual(expect.arrayContaining(['heartbeat.lua', 'lease-leave.lua', 'lease-retire.lua', 'lease-settle.lua']));
  expect(allowed).toEqual(expect.arrayContaining(['partition-commit.lua', 'partition-leave.lua', 'partition-open.lua', 'partition-plan.lua', 'partition-sync.lua']));
  for (const adding of ['lease-announce.lua', 'partition-produce.lua', 'queue-produce.lua']) expect(allowed).not.toContain(adding);
});

it('only one script of the partition capability makes an owner, and only a commit or a seek moves a position that is there', () => {
  const partition = files.filter((file) => file.startsWith('partition-'));
  // An owner is written as "session epoch"; the others only ever write "- epoch".
  expect(partition.filter((file) => /'HSET', KEYS\[[28]\], [^\n]*\b(?:me|session) \.\. ' '/.test(read(file)))).toEqual(['partition-sync.lua']);
  expect(partition.filter((file) => /XGROUP', 'SETID'/.test(read(file)))).toEqual(['partition-commit.lua', 'partition-seek.lua']);
});
