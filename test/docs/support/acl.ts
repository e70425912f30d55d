import { documentAt } from './markdown.js';

/** Users as docs/operations.md grants them: what is tested is what readers copy. */
export function usersOfTheDocument(prefix: string): Map<string, string[]> {
  const commands = documentAt('docs/operations.md').blocks.flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n')).filter((line) => line.startsWith(`ACL SETUSER ${prefix}`));
  if (commands.length === 0) throw new Error(`docs/operations.md shows no ACL SETUSER ${prefix}...`);
  return new Map(commands.map((line) => {
    const [, , name = '', ...rules] = line.split(/\s+/).filter(Boolean);
    return [name, rules];
  }));
}

export function passwordOf(rules: readonly string[]): string {
  return (rules.find((rule) => rule.startsWith('>')) as string).slice(1);
}

/** Commands that rules allow, as INFO commandstats names them. */
export function granted(rules: readonly string[]): string[] {
  return rules.filter((rule) => rule.startsWith('+')).map((rule) => rule.slice(1));
}

/** Commands that ran since the last CONFIG RESETSTAT. */
export function commandsOf(commandstats: string): Set<string> {
  return new Set([...commandstats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name = '']) => name));
}
