import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { repoRoot } from '../support/repo.js';
import { anchorOf, type CodeBlock, type Document, documents } from './support/markdown.js';

const all = documents();

/**
 * One source file per block. Marks above a block change that:
 *   join      continues the previous block of the document (one file)
 *   method    stands for methods inside a class, and is wrapped in one
 *   skip      is not compiled: an excerpt of something shown elsewhere
 */
function sourcesOf({ path, blocks }: Document): Map<string, string> {
  const sources = new Map<string, string>();
  let previous: string | undefined;
  for (const block of blocks.filter(({ language }) => language === 'ts')) {
    if (block.marks.includes('skip')) continue;
    const text = block.marks.includes('method') ? `${importsOf(block)}class Snippet {\n${bodyOf(block)}\n}\nvoid Snippet;` : block.text;
    if (block.marks.includes('join')) {
      if (previous === undefined) throw new Error(`${path}:${block.line}: nothing to join`);
      sources.set(previous, `${sources.get(previous)}\n${text}`);
      continue;
    }
    previous = `${path.replaceAll('/', '__')}__line${block.line}.ts`;
    // A module of its own, so that names of two blocks never meet and `await` may stand at the top.
    sources.set(previous, `${text}\nexport {};`);
  }
  return sources;
}

const isImport = (line: string): boolean => line.startsWith('import ');
const importsOf = ({ text }: CodeBlock): string => text.split('\n').filter(isImport).map((line) => `${line}\n`).join('');
const bodyOf = ({ text }: CodeBlock): string => text.split('\n').filter((line) => !isImport(line)).join('\n');

function compile(sources: ReadonlyMap<string, string>): string[] {
  const folder = join(repoRoot, 'test', 'docs');
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    skipLibCheck: true,
    noEmit: true,
    types: ['node'],
  };
  const files = new Map([...sources].map(([name, text]) => [join(folder, name), text]));
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => files.get(file) ?? readFile(file);
  host.getSourceFile = (file, target, ...rest) => {
    const text = files.get(file);
    return text === undefined ? getSourceFile(file, target, ...rest) : ts.createSourceFile(file, text, target);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n');
    if (!diagnostic.file || diagnostic.start === undefined) return message;
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    return `${diagnostic.file.fileName.slice(folder.length + 1)} + ${line + 1}: ${message}`;
  });
}

describe('code in the documents', () => {
  it('compiles against the built package', () => {
    expect(existsSync(join(repoRoot, 'libs/redis-streams/dist/index.d.ts')), 'run "npm run build:lib" first').toBe(true);
    const sources = new Map(all.flatMap((document) => [...sourcesOf(document)]));
    expect(sources.size).toBeGreaterThan(10);
    expect(compile(sources)).toEqual([]);
  }, 120_000);

  it('is refused by the same compiler when it is wrong', () => {
    const wrong = `import { LeaseService } from 'nestjs-redis-streams';\ndeclare const leases: LeaseService;\nawait leases.anounce('a', 'b');\nexport {};`;
    expect(compile(new Map([['wrong.ts', wrong]]))).toEqual([expect.stringContaining('anounce')]);
  }, 120_000);

  it('marks every TypeScript block as ts', () => {
    const others = all.flatMap(({ path, blocks }) => blocks.filter(({ language }) => ['typescript', 'tsx', 'js', 'javascript', ''].includes(language)).map(({ line }) => `${path}:${line}`));
    expect(others).toEqual([]);
  });
});

describe('references in the documents', () => {
  it('lead somewhere: every relative link and its anchor', () => {
    const broken: string[] = [];
    for (const { path, prose } of all) {
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = '', anchor] = target.split('#');
        const resolved = file === '' ? join(repoRoot, path) : resolve(repoRoot, dirname(path), file);
        if (!existsSync(resolved)) broken.push(`${path}: ${target}`);
        else if (anchor !== undefined && statSync(resolved).isFile()) {
          const headings = [...readFileSync(resolved, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
          if (!headings.includes(anchor)) broken.push(`${path}: ${target} (no such heading)`);
        }
      }
    }
    expect(broken).toEqual([]);
  });

  it('name only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(repoRoot, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const known = new Set(Object.keys(scripts));
    const unknown = all.flatMap(({ path, text }) =>
      [...text.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].filter(([, name = '']) => !known.has(name)).map(([, name]) => `${path}: npm run ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it('name only files that exist', () => {
    const missing = all.flatMap(({ path, prose }) =>
      [...prose.matchAll(/`((?:libs|apps|test|tools|docs)\/[\w./-]+\.\w+)`/g)]
        .filter(([, file = '']) => !existsSync(join(repoRoot, file)))
        .map(([, file]) => `${path}: ${file}`),
    );
    expect(missing).toEqual([]);
  });

  it('say nothing about the machine they were written on', () => {
    const machine = [repoRoot, process.env['HOME'] ?? '/root', '/work/', '/root/', '/home/', '/tmp/'];
    const found = all.flatMap(({ path, text }) => machine.filter((word) => word.length > 1 && text.includes(word)).map((word) => `${path}: ${word}`));
    expect(found).toEqual([]);
  });
});
