import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differences } from './differences.js';
import { whoOf } from './support/suite.js';
import { TRANSPORTS } from './support/transport.js';

describe('the table of differences', () => {
  it('says something of each transport, of two transports not the same, and has one test for each line', async () => {
    const files = (await readdir(import.meta.dirname)).filter((file) => file.endsWith('.test.ts'));
    const text = (await Promise.all(files.map((file) => readFile(join(import.meta.dirname, file), 'utf8')))).join('\n');
    const tested = [...text.matchAll(/differs\('([^']+)'/g)].map(([, id]) => id).toSorted();
    expect(tested).toEqual(Object.keys(differences).toSorted());
    for (const [id, { says }] of Object.entries(differences)) {
      const sentences = TRANSPORTS.map((name) => (says as Readonly<Record<string, string>>)[whoOf(says, name)]);
      expect(sentences.every((sentence) => typeof sentence === 'string'), id).toBe(true);
      expect(new Set(sentences).size, id).toBeGreaterThan(1);
    }
  });
});
