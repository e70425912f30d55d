import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The workspace root. Searched for, since these files run both from `test` and compiled from `test/dist`. */
export const repoRoot = (() => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'tools', 'redis-binary.mjs'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`No workspace root above ${fileURLToPath(import.meta.url)}`);
    folder = parent;
  }
  return folder;
})();

export async function redisBinaryTool(): Promise<typeof import('../../tools/redis-binary.mjs')> {
  return import(pathToFileURL(join(repoRoot, 'tools', 'redis-binary.mjs')).href);
}

/** Where `tsc -b test` puts a test file, so that plain Node can run it. */
export function compiled(file: string): string {
  const testFolder = join(repoRoot, 'test');
  if (!file.endsWith('.ts')) return file;
  return join(testFolder, 'dist', file.slice(testFolder.length + 1).replace(/\.ts$/, '.js'));
}
