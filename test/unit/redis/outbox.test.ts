import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackpressureError, ClosedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Outgoing } from '../../../libs/redis-streams/dist/partition/encode.js';
import type { SentMessage } from '../../../libs/redis-streams/dist/partition/types.js';
import { Outbox, type Batch } from '../../../libs/redis-streams/dist/redis/outbox.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const message = (text: string): Outgoing => new Outgoing('k', text, '');
const textsOf = (batch: Batch<Outgoing>): string[] => batch.items.map(({ data }) => data);

/** An outbox whose batches end when told. */
function manual(): { outbox: Outbox<Outgoing, SentMessage>; sent: Array<Batch<Outgoing>>; end(index: number, error?: Error): Promise<void> } {
  const sent: Array<Batch<Outgoing>> = [];
  const ends: Array<() => void> = [];
  const outbox = new Outbox<Outgoing, SentMessage>('test', (batch) => new Promise((resolve) => {
    sent.push(batch);
    ends.push(resolve);
  }));
  return {
    outbox,
    sent,
    end: async (index, error) => {
      for (const item of sent[index]!.items) {
        if (error) item.reject(error);
        else item.resolve({ partition: 0, id: item.data });
      }
      ends[index]!();
      await turn();
    },
  };
}

describe('Outbox', () => {
  it('keeps the order, the bounds, and each message its own answer', async () => {
    const lengths = fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 0, max: 400 }) }, { weight: 1, arbitrary: fc.integer({ min: 300_000, max: 2_000_000 }) });
    await fc.assert(fc.asyncProperty(
      fc.array(fc.tuple(lengths, fc.integer({ min: 1, max: 300 })), { maxLength: 12 }), fc.array(fc.boolean(), { maxLength: 12 }),
      async (groups, pauses) => {
        const batches: string[][] = [];
        let running = 0;
        const outbox = new Outbox<Outgoing, SentMessage>('test', async (batch) => {
          const second = ++running > 1;
          expect(running).toBeLessThanOrEqual(2);
          const { items } = batch;
          const bytes = items.reduce((sum, { size }) => sum + size, 0);
          expect(bytes).toBe(batch.bytes);
          expect(items.length).toBeGreaterThan(0);
          expect(items.length).toBeLessThanOrEqual(512);
          if (items.length > 1) expect(bytes).toBeLessThanOrEqual(1_048_576);
          batches.push(textsOf(batch));
          await turn();
          if (second) await turn();
          for (const item of items) item.resolve({ partition: 0, id: item.data });
          running--;
        });
        const all: string[] = [];
        const results: Array<Promise<{ id: string }>> = [];
        for (const [i, [length, count]] of groups.entries()) {
          for (let n = 0; n < (length > 1_000 ? 2 : count); n++) {
            const text = `${all.length}`.padEnd(length, 'x');
            all.push(text);
            results.push(outbox.add(message(text)));
          }
          if (pauses[i]) await turn();
        }
        expect((await Promise.all(results)).map(({ id }) => id)).toEqual(all);
        expect(batches.flat()).toEqual(all);
      }), { numRuns: 60 });
  });

  it('a lone message goes out in the same turn of the loop; what is added in one turn shares a batch', async () => {
    const { outbox, sent } = manual();
    for (const text of ['a', 'b', 'c']) void outbox.add(message(text));
    expect(sent).toHaveLength(0);
    await Promise.resolve();
    expect(sent.map(textsOf)).toEqual([['a', 'b', 'c']]);
  });

  it('a second batch is under way only when it is full, and never a third', async () => {
    const { outbox, sent, end } = manual();
    void outbox.add(message('first'));
    await turn();
    for (let i = 0; i < 511; i++) void outbox.add(message(`${i}`));
    await turn();
    expect(sent).toHaveLength(1);
    for (let i = 511; i < 2_000; i++) void outbox.add(message(`${i}`));
    await turn();
    expect(sent.map(({ items }) => items.length)).toEqual([1, 512]);
    await end(1);
    expect(sent.map(({ items }) => items.length)).toEqual([1, 512, 512]);
    await end(0);
    await end(2);
    await end(3);
    expect(sent.map(({ items }) => items.length)).toEqual([1, 512, 512, 512, 464]);
    await end(4);
    await outbox.flush();
  });

  it('what fails fails its messages only', async () => {
    const { outbox, sent, end } = manual();
    const first = outbox.add(message('a')).catch((error: unknown) => error);
    await turn();
    const second = outbox.add(message('b'));
    await end(0, new Error('no'));
    expect(await first).toEqual(new Error('no'));
    expect(sent.map(textsOf)).toEqual([['a'], ['b']]);
    await end(1);
    expect(await second).toEqual({ partition: 0, id: 'b' });
  });

  it('refuses what is beyond its bounds of messages and bytes, and takes more once there is room', async () => {
    const { outbox, end } = manual();
    const sent = [outbox.add(message('a'))];
    await turn();
    for (let i = 0; i < 100_000 + 512; i++) sent.push(outbox.add(message('b')));
    await expect(outbox.add(message('c'))).rejects.toBeInstanceOf(BackpressureError);
    await end(1);
    sent.push(outbox.add(message('d')));
    for (let i = 0; i <= 198; i++) if (i !== 1) await end(i).catch(() => undefined);
    await Promise.all(sent);

    const large = 'x'.repeat(16_777_000);
    const waiting = [outbox.add(message('a'))];
    await turn();
    waiting.push(outbox.add(message(large)), outbox.add(message(large)), outbox.add(message(large)), outbox.add(message(large)), outbox.add(message(large)));
    await expect(outbox.add(message(large))).rejects.toBeInstanceOf(BackpressureError);
    for (let i = 198; i < 208; i++) await end(i).catch(() => undefined);
    await Promise.all(waiting);
  });

  it('flush waits for everything added so far, close refuses the rest', async () => {
    const { outbox, end } = manual();
    await outbox.flush();
    void outbox.add(message('a'));
    let flushed = false;
    const flush = outbox.flush().then(() => (flushed = true));
    await turn();
    expect(flushed).toBe(false);
    const closing = outbox.close();
    await expect(outbox.add(message('b'))).rejects.toBeInstanceOf(ClosedError);
    await end(0);
    await Promise.all([flush, closing]);
    expect(flushed).toBe(true);
  });
});
