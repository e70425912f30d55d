import { expectTypeOf, it } from 'vitest';
import type { Ledger, Verdict } from '../support/ledger.js';
import { waitUntil } from '../support/wait.js';

it('checks types', () => {
  expectTypeOf<ReturnType<Ledger['verdict']>>().toEqualTypeOf<Verdict>();
  expectTypeOf(waitUntil(() => 'x' as string | undefined, { what: 'x' })).resolves.toEqualTypeOf<string>();
});
