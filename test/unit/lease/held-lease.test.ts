import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FencedError, LeaseAbortedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { HeldLease, type LeaseHost } from '../../../libs/redis-streams/dist/lease/held-lease.js';

type Answer = 'OK' | 'FENCED' | Error;

/** A lease whose server answers as told, and what it reported to its consumer. */
function lease(answer: (operation: string, n: number) => Answer | Promise<Answer> = () => 'OK') {
  const log: string[] = [];
  let calls = 0;
  const host: LeaseHost = {
    service: 'svc', session: 'a:1',
    settle: async (_, operation) => {
      const result = await answer(operation, ++calls);
      if (result instanceof Error) throw result;
      return result;
    },
    entries: () => { throw new Error('not here'); },
    checkpointed: () => void log.push('checkpointed'),
    ended: (_, operation) => void log.push(`ended ${operation}`),
    fenced: (held, operation) => {
      log.push(`fenced ${operation}`);
      held.abort('fenced');
    },
  };
  const held = new HeldLease(host, {
    entryId: '1-0', stream: Buffer.from('s'), payload: Buffer.from('{}'), token: 5, attempt: 1, failures: 0, source: 'new',
  } as ConstructorParameters<typeof HeldLease>[1], 's', {});
  return { held, log, calls: () => calls };
}

describe('HeldLease', () => {
  it('whatever ends are asked for, in whatever order: one is accepted, its like share it, all others are refused', async () => {
    const operation = fc.constantFrom('done', 'release', 'dead', 'retry');
    await fc.assert(fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 6 }), fc.boolean(), async (operations, together) => {
      let open = true;
      const { held, log } = lease((op) => {
        if (op === 'checkpoint') return open ? 'OK' : 'FENCED';
        const first = open;
        open = false;
        return first ? 'OK' : 'FENCED';
      });
      const results: PromiseSettledResult<void>[] = [];
      if (together) results.push(...await Promise.allSettled(operations.map((op) => held.end(op))));
      else for (const op of operations) results.push(...await Promise.allSettled([held.end(op)]));
      expect(log).toEqual([`ended ${operations[0]}`]);
      for (const [i, result] of results.entries()) {
        expect(result.status).toBe(operations[i] === operations[0] ? 'fulfilled' : 'rejected');
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(FencedError);
      }
      expect(held.isOpen).toBe(false);
    }));
  });

  it('an end that failed for want of an answer may be tried again', async () => {
    const { held, log } = lease((_, n) => (n === 1 ? new Error('WRONGTYPE') : 'OK'));
    await expect(held.done()).rejects.toThrow('WRONGTYPE');
    await held.done();
    expect(log).toEqual(['ended done']);
  });

  it('another end takes over when the first came to nothing', async () => {
    const { held, log } = lease((operation) => (operation === 'release' ? new Error('WRONGTYPE') : 'OK'));
    const results = await Promise.allSettled([held.release(), held.done()]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(log).toEqual(['ended done']);
  });

  it('a done accepted while the session was being lost is still done', async () => {
    let answerNow: (answer: Answer) => void = () => undefined;
    const { held, log } = lease(() => new Promise<Answer>((resolve) => { answerNow = resolve; }));
    const done = held.done();
    held.abort('session-lost');
    answerNow('OK');
    await done;
    expect(log).toEqual(['ended done']);
  });

  it('a refusal is told once; later calls are refused without asking', async () => {
    const { held, log, calls } = lease(() => 'FENCED');
    await expect(held.checkpoint('1-0')).rejects.toThrow(FencedError);
    await expect(held.done()).rejects.toThrow(FencedError);
    await expect(held.release()).rejects.toThrow(FencedError);
    expect(log).toEqual(['fenced checkpoint']);
    expect(calls()).toBe(1);
  });

  it('the signal is made when asked for, also after the abort, and carries the first reason', () => {
    const { held } = lease();
    held.abort('shutdown');
    held.abort('session-lost');
    expect(held.signal.aborted).toBe(true);
    expect(held.signal.reason).toBeInstanceOf(LeaseAbortedError);
    expect(held.signal.reason).toMatchObject({ reason: 'shutdown', stream: 's' });
    expect(held.isOpen).toBe(false);
  });

  it('asked back for shutdown or rebalance it may still settle', async () => {
    const { held, log } = lease();
    held.abort('rebalance');
    expect(held.isOpen).toBe(true);
    await held.done();
    expect(log).toEqual(['ended done']);
  });

  it('only progress resets the failures', async () => {
    const { held } = lease();
    held.failuresSoFar = 3;
    held.lastCheckpoint = '5-0';
    await held.checkpoint('5-0');
    await held.checkpoint('4-9');
    expect(held.failuresSoFar).toBe(3);
    expect(held.lastCheckpoint).toBe('4-9');
    await held.checkpoint('10-0');
    expect(held.failuresSoFar).toBe(0);
  });
});
