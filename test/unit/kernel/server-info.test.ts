import { expect, it } from 'vitest';
import { hearsWhileHushed } from '../../../libs/redis-streams/dist/kernel/server-info.js';

const hello = (server: unknown, version: unknown): unknown[] => ['server', server, 'version', version, 'proto', 3, 'modules', []];

it.each([
  ['redis', '6.2.11', false],
  ['redis', '6.2.12', true],
  ['redis', '6.3.4', false],
  ['redis', '7.0.9', false],
  ['redis', '7.0.10', true],
  ['redis', '7.0.15', true],
  ['redis', '7.2.0', true],
  ['redis', '8.0.1', true],
  ['redis', '10.0.0', true],
  ['redis', 'unstable', false],
  ['redis', 7, false],
  ['valkey', '8.1.0', true],
  ['dragonfly', '7.4.0', false],
])('%s %s tells what is said in channels while it answers nothing: %s', (server, version, expected) => {
  expect(hearsWhileHushed(hello(server, version))).toBe(expected);
});

it.each([[undefined], [null], ['redis'], [[]], [['proto', 3]], [new Error('ERR unknown command')]])('%o is no answer to HELLO', (reply) => {
  expect(hearsWhileHushed(reply)).toBe(false);
});
