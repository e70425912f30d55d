import { expect, it } from 'vitest';
import { lineOf } from '../../../libs/redis-streams/dist/module/event-lines.js';

const about = { kind: 'partition', source: 'shop:payments#ledger', by: 'alice' } as const;

it('the log says what was done with dead letters, by whom, and whether it went to the end', () => {
  expect(lineOf({ type: 'deadLetters.replayed', ...about, replayed: 1_024, skipped: 3 })).toEqual({ level: 'log', text: 'partition shop:payments#ledger: 1024 dead letters replayed, 3 left where they were by alice' });
  expect(lineOf({ type: 'deadLetters.replayed', ...about, replayed: 1, skipped: 0 })).toEqual({ level: 'log', text: 'partition shop:payments#ledger: 1 dead letter replayed by alice' });
  const error = new Error('away');
  expect(lineOf({ type: 'deadLetters.purged', ...about, purged: 7, error })).toEqual({ level: 'error', text: 'partition shop:payments#ledger: 7 dead letters purged by alice, then it failed', error });
});
