import type { CommandChannel } from './command-channel.js';

const OLDEST = 7;

/**
 * What an operator should know about a server before it hurts, from INFO alone (CONFIG is often not allowed).
 * Empty where INFO is not allowed either.
 */
export async function probeServer(commands: CommandChannel): Promise<string[]> {
  let text: string;
  try {
    text = String(await commands.call('INFO', []));
  } catch {
    return [];
  }
  const info = new Map(text.split(/\r?\n/).filter((line) => line.includes(':')).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
  const warnings: string[] = [];
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? '';
  if (version !== '' && Number.parseInt(version, 10) < OLDEST) {
    warnings.push(`the server is version ${version}; ${OLDEST}.0 or later is needed for heartbeats and settles to go through when its memory is full`);
  }
  const policy = info.get('maxmemory_policy');
  if (policy && policy !== 'noeviction' && Number(info.get('maxmemory') ?? 0) > 0) {
    warnings.push(`maxmemory-policy is ${policy}: under memory pressure the server may evict streams and lease records, and with them messages; set noeviction`);
  }
  return warnings;
}
