// `node --import tools/ioredis-alias.mjs`: every `ioredis` becomes the npm alias package `ioredis5`, so that the
// same programs run on both majors. vitest.config.ts does the same for tests.
import * as nodeModule from 'node:module';
import { isMainThread } from 'node:worker_threads';

const replace = (specifier) => (specifier === 'ioredis' || specifier.startsWith('ioredis/') ? specifier.replace('ioredis', 'ioredis5') : specifier);

export const resolve = (specifier, context, nextResolve) => nextResolve(replace(specifier), context);

// Node 20 runs these hooks in a thread of their own, which loads this file again.
if (typeof nodeModule.registerHooks === 'function') nodeModule.registerHooks({ resolve });
else if (isMainThread) nodeModule.register(import.meta.url);
