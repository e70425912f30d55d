import { createHash } from 'node:crypto';
import { LUA } from '../scripts/lua.generated.js';
import type { CallOptions } from './command-channel.js';
import type { Argument } from './compat.js';

export type ScriptName = keyof typeof LUA;

/** Where commands go: a CommandChannel, or a ReplicatedChannel. */
export interface Caller {
  call(command: string, args: readonly Argument[], options?: CallOptions): Promise<unknown>;
}

interface Source {
  readonly text: string;
  readonly sha: string;
}

function sources(edit: (text: string) => string): Record<ScriptName, Source> {
  return Object.fromEntries(
    Object.entries(LUA).map(([name, lua]) => {
      const text = edit(lua);
      return [name, { text, sha: createHash('sha1').update(text).digest('hex') }];
    }),
  ) as Record<ScriptName, Source>;
}

const FLAGGED = sources((text) => text);
let plain: Record<ScriptName, Source> | undefined;

/**
 * Runs embedded scripts: EVALSHA first, EVAL when the server has forgotten the script (restart, failover,
 * SCRIPT FLUSH). A server that does not know script flags (the first line, Redis 7.0) gets them without: all
 * works as before, except that an out-of-memory server then refuses heartbeats too.
 */
export class ScriptRunner {
  private scripts = FLAGGED;

  constructor(private readonly channel: Caller) {}

  /** What EVALSHA calls it on this server, as far as is known. */
  shaOf(name: ScriptName): string {
    return this.scripts[name].sha;
  }

  /** Chained, not awaited: it is the way of every message and every reply, and each async function is a promise and two turns more. */
  run(name: ScriptName, keys: readonly string[], args: readonly Argument[], options: CallOptions = {}): Promise<unknown> {
    const { scripts } = this;
    const { sha } = scripts[name];
    return this.channel.call('EVALSHA', [sha, keys.length, ...keys, ...args], options).catch((error: unknown) => this.again(error, scripts, name, keys, args, options));
  }

  private async again(error: unknown, scripts: typeof FLAGGED, name: ScriptName, keys: readonly string[], args: readonly Argument[], options: CallOptions): Promise<unknown> {
    try {
      if (!saysOf(error, (message) => message.startsWith('NOSCRIPT'))) throw error;
      return await this.channel.call('EVAL', [scripts[name].text, keys.length, ...keys, ...args], options);
    } catch (unflagged) {
      // Others that began with the same text may have learned it meanwhile.
      if (scripts !== FLAGGED || !saysOf(unflagged, (message) => message.includes("unexpected symbol near '#'"))) throw unflagged;
      this.scripts = plain ??= sources((text) => text.replace(/^#!.*\n/, ''));
      return this.run(name, keys, args, options);
    }
  }
}

function saysOf(error: unknown, that: (message: string) => boolean): boolean {
  return error instanceof Error && that(error.message);
}
