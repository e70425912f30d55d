import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { repoRoot } from '../../support/repo.js';
import { documentAt } from './markdown.js';

export const src = join(repoRoot, 'libs/redis-streams/src');
export const read = (file: string): string => readFileSync(join(src, file), 'utf8');

/** Names in the source, found by its syntax tree: string members of a union type, or keys of an interface. */
export function namesOf(file: string, declaration: string): string[] {
  const tree = ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2022);
  for (const node of tree.statements) {
    if (ts.isTypeAliasDeclaration(node) && node.name.text === declaration && ts.isUnionTypeNode(node.type)) {
      return node.type.types.flatMap((type) => (ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal) ? [type.literal.text] : []));
    }
    if (ts.isInterfaceDeclaration(node) && node.name.text === declaration) {
      return node.members.flatMap(({ name }) => (name && (ts.isIdentifier(name) || ts.isStringLiteral(name)) ? [name.text] : []));
    }
  }
  throw new Error(`${declaration} is not in ${file}`);
}

/** First cells of the tables of a document, without their backquotes. */
export function rowsOf(path: string): string[] {
  return [...documentAt(path).prose.matchAll(/^\| `([^`]+)`/gm)].map(([, cell = '']) => cell);
}
