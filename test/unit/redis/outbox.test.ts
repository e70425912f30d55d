import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackpressureError, ClosedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Outgoing } from '../../../libs/redis-streams/dist/partition/encode.js';
import type { SentMessage } from '../../../libs/redis-streams/dist/partition/types.js';
import { Budget, Outbox, type Batch, type OutboxOptions } from '../../../libs/redis-streams/dist/redis/outbox.js';

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

describe('Outboxes of one budget', () => {
  const two = (options: OutboxOptions): { outboxes: Array<Outbox<Outgoing, SentMessage>>; ends: Array<() => void> } => {
    const ends: Array<() => void> = [];
    const outboxes = [0, 1].map(() => new Outbox<Outgoing, SentMessage>('test', (batch) => new Promise((resolve) => ends.push(() => {
      for (const item of batch.items) item.resolve({ partition: 0, id: item.data });
      resolve();
    })), options));
    return { outboxes, ends };
  };

  it('share it, and what is under way counts when asked to', async () => {
    const { outboxes: [a, b], ends } = two({ budget: new Budget(3), countUnderWay: true });
    const sent = [a!.add(message('1')), b!.add(message('2')), b!.add(message('3'))];
    await turn();
    for (const outbox of [a!, b!]) await expect(outbox.add(message('4'))).rejects.toThrow('3 items');
    ends[0]!();
    await turn();
    sent.push(b!.add(message('4')));
    await expect(a!.add(message('5'))).rejects.toBeInstanceOf(BackpressureError);
    ends[1]!();
    await turn();
    ends[2]!();
    expect((await Promise.all(sent)).map(({ id }) => id)).toEqual(['1', '2', '3', '4']);
    for (let i = 0; i < 3; i++) void a!.add(message('again'));
    await expect(a!.add(message('too many'))).rejects.toBeInstanceOf(BackpressureError);
  });

  it('what is larger than the budget of bytes goes alone', async () => {
    const { outboxes: [a], ends } = two({ budget: new Budget(10, 100), countUnderWay: true });
    const large = a!.add(message('x'.repeat(1_000)));
    await expect(a!.add(message(''))).rejects.toThrow('100 bytes');
    await turn();
    ends[0]!();
    await large;
    await turn();
    void a!.add(message(''));
  });

  it('adopts what is counted already: only its end gives room', async () => {
    const budget = new Budget(1);
    const { outboxes: [a], ends } = two({ budget, countUnderWay: true });
    const item = message('early');
    budget.take(item.size);
    const sent = new Promise<SentMessage>((resolve, reject) => { Object.assign(item, { resolve, reject }); });
    a!.adopt(item);
    await turn();
    await expect(a!.add(message('more'))).rejects.toBeInstanceOf(BackpressureError);
    ends[0]!();
    expect((await sent).id).toBe('early');
    await turn();
    void a!.add(message('more'));
  });

  it('abandon rejects what waits and nothing else, tells how many, and gives the room back', async () => {
    const budget = new Budget(5);
    const { outboxes: [a, b], ends } = two({ budget, countUnderWay: true, maxBatch: 2 });
    const sent = ['1', '2', '3', '4', '5'].map((text) => a!.add(message(text)));
    const settled = Promise.allSettled(sent);
    await turn();
    const flushed = a!.flush();
    expect(a!.abandon(new Error('over'))).toBe(1);
    for (const end of ends) end();
    await flushed;
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    await turn();
    await expect(a!.add(message('6'))).rejects.toBeInstanceOf(ClosedError);
    for (let i = 0; i < 5; i++) void b!.add(message('7'));
  });
});
