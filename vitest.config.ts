import { configDefaults, defineConfig } from 'vitest/config';
import SlowFirst from './test/support/slow-first.js';

const ioredis5 = process.env['IOREDIS'] === '5';

const needsServer = {
  pool: 'forks' as const,
  // One process runs many files, each with its modules to itself, so that they can take turns at one cluster.
  isolate: false,
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
  teardownTimeout: 20_000,
  // Real servers, real deaths, on a machine that has other things to do. What fails twice is broken; what fails once is
  // named in the report, and to be mended: on one's own machine it fails.
  retry: process.env['CI'] ? 1 : 0,
};

const project = (name: string, include: string[], more: object = {}): object => ({
  extends: true,
  test: { name, include, ...more },
});

export default defineConfig({
  resolve: {
    // IOREDIS=5 runs everything on the older major. The library is a workspace link, which vitest inlines, so the
    // alias holds inside it too.
    alias: ioredis5 ? [{ find: /^ioredis(?=$|\/)/, replacement: 'ioredis5' }] : [],
  },
  test: {
    exclude: [...configDefaults.exclude, '**/dist/**'],
    setupFiles: ['test/support/setup.ts'],
    passWithNoTests: true,
    // Most files wait most of the time, also on two cores; with more at once, timing tests would measure each other.
    maxWorkers: 6,
    sequence: { sequencer: SlowFirst },
    projects: [
      project('unit', ['test/unit/**/*.test.ts'], { testTimeout: 15_000, pool: 'forks', isolate: false }),
      project('integration', ['test/integration/**/*.test.ts', 'test/conformance/**/*.test.ts'], needsServer),
      project('docs', ['test/docs/**/*.test.ts'], needsServer),
      // Installs the packed library into scratch apps: npm needs its time.
      project('pack', ['test/pack/**/*.test.ts'], { ...needsServer, testTimeout: 300_000, hookTimeout: 300_000 }),
    ],
  },
});
