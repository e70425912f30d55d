import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { repoRoot } from '../../support/repo.js';

export interface CodeBlock {
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** Words of an HTML comment directly above the fence: `<!-- snippet: join -->` gives ['join']. */
  readonly marks: readonly string[];
}

export interface Document {
  /** Path from the workspace root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly CodeBlock[];
  /** The text with its code blocks blanked out; line numbers stay. */
  readonly prose: string;
}

const TOP = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'libs/redis-streams/src/lease/README.md', 'libs/redis-streams/src/partition/README.md', 'libs/redis-streams/src/fanout/README.md'];

/** Every document of the project, the generated API reference excepted. */
export function documents(): Document[] {
  const docs = readdirSync(join(repoRoot, 'docs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => relative(repoRoot, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.startsWith('docs/api/'));
  return [...TOP, ...docs].map((path) => parse(path, readFileSync(join(repoRoot, path), 'utf8')));
}

export function documentAt(path: string): Document {
  return parse(path, readFileSync(join(repoRoot, path), 'utf8'));
}

export function parse(path: string, text: string): Document {
  const lines = text.split('\n');
  const blocks: CodeBlock[] = [];
  const prose: string[] = [];
  let open: { language: string; line: number; marks: string[]; body: string[] } | undefined;
  lines.forEach((line, i) => {
    const fence = /^```(\S*)/.exec(line);
    if (open && line === '```') {
      blocks.push({ language: open.language, line: open.line, marks: open.marks, text: open.body.join('\n') });
      open = undefined;
      prose.push('');
    } else if (open) {
      open.body.push(line);
      prose.push('');
    } else if (fence) {
      const marks = /^<!-- snippet: (.*) -->$/.exec(lines[i - 1] ?? '')?.[1]?.split(' ') ?? [];
      open = { language: fence[1] ?? '', line: i + 1, marks, body: [] };
      prose.push('');
    } else prose.push(line);
  });
  if (open) throw new Error(`${path}:${open.line}: code block without an end`);
  return { path, text, blocks, prose: prose.join('\n') };
}

/** The anchor GitHub gives a heading. */
export function anchorOf(heading: string): string {
  return heading.trim().toLowerCase().replace(/[`*]/g, '').replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
}
