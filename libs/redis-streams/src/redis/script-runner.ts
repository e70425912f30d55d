import { createHash } from 'node:crypto';
import { LUA } from '../scripts/lua.generated.js';
import type { Argument } from './compat.js';
import type { CommandChannel } from './command-channel.js';

export type ScriptName = keyof typeof LUA;

const SHA = Object.fromEntries(
  Object.entries(LUA).map(([name, source]) => [name, createHash('sha1').update(source).digest('hex')]),
) as Record<ScriptName, string>;

/** Runs embedded scripts: EVALSHA first, EVAL when the server has forgotten the script (restart, failover, SCRIPT FLUSH). */
export class ScriptRunner {
  constructor(private readonly channel: CommandChannel) {}

  async run(
    name: ScriptName,
    keys: readonly string[],
    args: readonly Argument[],
    options: { buffers?: boolean; timeoutMs?: number } = {},
  ): Promise<unknown> {
    try {
      return await this.channel.call('EVALSHA', [SHA[name], keys.length, ...keys, ...args], options);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return this.channel.call('EVAL', [LUA[name], keys.length, ...keys, ...args], options);
    }
  }
}
