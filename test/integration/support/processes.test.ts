import { afterEach, describe, expect, it } from 'vitest';
import { isAlive, listProcesses } from '../../support/alive.js';
import { connectLedger, startLedger } from '../../support/ledger.js';
import { spawnNode, type TestProcess } from '../../support/processes.js';
import { waitUntil } from '../../support/wait.js';

type Message = { type: string; message?: unknown; n?: number };
const started: TestProcess<Message>[] = [];
const idle = (): TestProcess<Message> => {
  const child = spawnNode<Message>(new URL('../../support/fixtures/idle.ts', import.meta.url));
  started.push(child);
  return child;
};
afterEach(async () => {
  await Promise.all(started.splice(0).map((child) => child.kill()));
});

describe('spawnNode', () => {
  it('keeps every message, so that waiting late misses none', async () => {
    const child = idle();
    await child.waitFor(({ type }) => type === 'second', 10_000, 'the second message');
    expect((await child.waitFor(({ type }) => type === 'ready', 10, 'an earlier message')).type).toBe('ready');
    child.send('a');
    child.send('b');
    expect((await child.waitFor(({ n }) => n === 2, 10_000, 'the second echo')).message).toBe('b');
    expect(child.messages.map(({ type }) => type)).toEqual(['ready', 'second', 'echo', 'echo']);
  });

  it('names what was waited for and shows the output when it fails', async () => {
    const child = idle();
    await child.waitFor(({ type }) => type === 'second', 10_000, 'the start');
    await expect(child.waitFor(() => false, 50, 'a miracle')).rejects.toThrow(/waited 50 ms in vain for a miracle[^]*idle says hello[^]*/);
    child.send('throw');
    await expect(child.waitFor(() => false, 10_000, 'a miracle')).rejects.toThrow(/ended \(1\) before a miracle[^]*told to throw/);
    expect(child.running).toBe(false);
  });

  it('pauses, continues and kills', async () => {
    const child = idle();
    await child.waitFor(({ type }) => type === 'second', 10_000, 'the start');
    const state = (): string | undefined => listProcesses().find(({ pid }) => pid === child.pid)?.state;
    child.stopProcess();
    await waitUntil(() => state()?.startsWith('T'), { what: 'the child is stopped' });
    child.send('while stopped');
    child.continue();
    await child.waitFor(({ message }) => message === 'while stopped', 10_000, 'the echo after SIGCONT');
    child.signal('SIGTERM');
    child.send('after SIGTERM');
    await child.waitFor(({ message }) => message === 'after SIGTERM', 10_000, 'the child that ignores SIGTERM');
    await child.kill();
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(isAlive(child.pid)).toBe(false);
  });
});

describe('the ledger', () => {
  it('refuses a stale token over its connection and counts the verdict', async () => {
    const ledger = await startLedger();
    const [old, young] = [await connectLedger(ledger.port), await connectLedger(ledger.port)];
    try {
      await old.record('sent', { resource: 's1', id: 'a' });
      await old.record('sent', { resource: 's1', id: 'b' });
      await old.record('attempt', { resource: 's1', id: 'a', token: 5 });
      await young.record('attempt', { resource: 's1', id: 'a', token: 6 });
      expect(await young.record('effect', { resource: 's1', id: 'a', token: 6 })).toBe(true);
      expect(await old.record('effect', { resource: 's1', id: 'a', token: 5 })).toBe(false);
      expect(await young.record('effect', { resource: 's1', id: 'a', token: 6 })).toBe(true);
      expect(await old.record('effect', { resource: 's2', id: 'x', token: 1 })).toBe(true);
      await young.record('ack', { resource: 's1', id: 'a' });
      await old.record('ack', { resource: 's1', id: 'b' });
      await expect(old.record('effect', { resource: 's1' })).rejects.toThrow(/needs a token/);
      expect(ledger.highestToken('s1')).toBe(6n);
      expect(ledger.verdict()).toEqual({
        sent: 2, attempts: 2, reruns: 1, acks: 2, accepted: 3, rejected: 1, lost: 1, duplicatedEffects: 1,
        unexpected: 1, inversions: 0, ackedWithoutEffect: 1,
      });
    } finally {
      await Promise.all([old.close(), young.close()]);
      await ledger.stop();
    }
    await expect(old.record('attempt', { resource: 's1' })).rejects.toThrow(/gone/);
  });

  it('has the last record of a process that was killed right after it', async () => {
    const ledger = await startLedger();
    try {
      const writers = Array.from({ length: 5 }, () =>
        spawnNode(new URL('../../support/fixtures/ledger-writer.ts', import.meta.url), { args: [String(ledger.port)] }));
      for (const writer of writers) expect((await writer.exited).signal).toBe('SIGKILL');
      await waitUntil(() => ledger.events.length === 5, { what: 'all five attempts are recorded', timeoutMs: 10_000 });
      expect(new Set(ledger.events.map(({ by }) => by)).size).toBe(5);
    } finally {
      await ledger.stop();
    }
  });
});
