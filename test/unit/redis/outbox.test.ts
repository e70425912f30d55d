import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackpressureError, ClosedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Budget, Outbox, type Batch, type Content, type OutboxOptions } from '../../../libs/redis-streams/dist/redis/outbox.js';
import { Failed, together, type Settle } from '../../../libs/redis-streams/dist/redis/settle.js';

interface Item { readonly text: string; readonly size: number; readonly bytes: number }

/** What is sent of a batch: its texts. */
class Texts implements Content<Item> {
  readonly all: string[] = [];
  bytes = 0;

  add({ text, bytes }: Item): number {
    this.all.push(text);
    this.bytes += bytes;
    return bytes;
  }
}

type TextBox = Outbox<Item, string, Texts>;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const message = (text: string): Item => ({ text, size: text.length + 17, bytes: Buffer.byteLength(text) + 17 });
const box = (send: (batch: Batch<Texts, string>) => Promise<void>, options?: OutboxOptions): TextBox => new Outbox<Item, string, Texts>('test', send, () => new Texts(), options);
/** Everybody is answered with his own text. */
const answer = (batch: Batch<Texts, string>): void => batch.content.all.forEach((text, i) => batch.settle(i, text));

/** An outbox whose batches end when told. */
function manual(): { outbox: TextBox; sent: Array<Batch<Texts, string>>; texts(): string[][]; end(index: number, error?: Error): Promise<void> } {
  const sent: Array<Batch<Texts, string>> = [];
  const ends: Array<() => void> = [];
  const outbox = box((batch) => new Promise((resolve) => {
    sent.push(batch);
    ends.push(resolve);
  }));
  return {
    outbox,
    sent,
    texts: () => sent.map(({ content }) => content.all),
    end: async (index, error) => {
      if (error) sent[index]!.fail(error);
      else answer(sent[index]!);
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
        const outbox = box(async (batch) => {
          const second = ++running > 1;
          expect(running).toBeLessThanOrEqual(3);
          const { content: { all: texts, bytes } } = batch;
          expect(bytes).toBe(batch.bytes);
          expect(texts.length).toBe(batch.count);
          expect(texts.length).toBeGreaterThan(0);
          expect(texts.length).toBeLessThanOrEqual(512);
          if (texts.length > 1) expect(bytes).toBeLessThanOrEqual(1_048_576);
          batches.push(texts);
          await turn();
          if (second) await turn();
          answer(batch);
          running--;
        });
        const all: string[] = [];
        const results: Array<Promise<string>> = [];
        for (const [i, [length, count]] of groups.entries()) {
          for (let n = 0; n < (length > 1_000 ? 2 : count); n++) {
            const text = `${all.length}`.padEnd(length, 'x');
            all.push(text);
            results.push(outbox.add(message(text)));
          }
          if (pauses[i]) await turn();
        }
        expect(await Promise.all(results)).toEqual(all);
        expect(batches.flat()).toEqual(all);
      }), { numRuns: 60 });
  });

  it('a lone message goes out in the same turn of the loop; what is added in one turn shares a batch', async () => {
    const { outbox, sent, texts } = manual();
    for (const text of ['a', 'b', 'c']) void outbox.add(message(text));
    expect(sent).toHaveLength(0);
    await Promise.resolve();
    expect(texts()).toEqual([['a', 'b', 'c']]);
  });

  it('a second and a third batch are under way only when they are full, and never a fourth', async () => {
    const { outbox, sent, end } = manual();
    void outbox.add(message('first'));
    await turn();
    for (let i = 0; i < 511; i++) void outbox.add(message(`${i}`));
    await turn();
    expect(sent).toHaveLength(1);
    for (let i = 511; i < 2_000; i++) void outbox.add(message(`${i}`));
    await turn();
    expect(sent.map(({ count }) => count)).toEqual([1, 512, 512]);
    await end(1);
    expect(sent.map(({ count }) => count)).toEqual([1, 512, 512, 512]);
    await end(0);
    await end(2);
    await end(3);
    expect(sent.map(({ count }) => count)).toEqual([1, 512, 512, 512, 464]);
    await end(4);
    await outbox.flush();
  });

  it('what fails fails its messages only', async () => {
    const { outbox, texts, end } = manual();
    const first = outbox.add(message('a')).catch((error: unknown) => error);
    await turn();
    const second = outbox.add(message('b'));
    await end(0, new Error('no'));
    expect(await first).toEqual(new Error('no'));
    expect(texts()).toEqual([['a'], ['b']]);
    await end(1);
    expect(await second).toBe('b');
  });

  it('refuses what is beyond its bounds of messages and bytes, and takes more once there is room', async () => {
    const { outbox, end } = manual();
    const sent = [outbox.add(message('a'))];
    await turn();
    for (let i = 0; i < 100_000 + 2 * 512; i++) sent.push(outbox.add(message('b')));
    await expect(outbox.add(message('c'))).rejects.toBeInstanceOf(BackpressureError);
    await end(1);
    sent.push(outbox.add(message('d')));
    for (let i = 0; i <= 198; i++) if (i !== 1) await end(i).catch(() => undefined);
    await Promise.all(sent);

    const large = 'x'.repeat(16_777_000);
    const waiting = [outbox.add(message('a'))];
    await turn();
    // Two go out, and four may wait.
    for (let i = 0; i < 6; i++) waiting.push(outbox.add(message(large)));
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

describe('Outbox under load', () => {
  it('flush waits for what is there, not for what comes meanwhile', async () => {
    const { outbox, end } = manual();
    const add = (count: number): void => { for (let i = 0; i < count; i++) void outbox.add(message('x')); };
    add(1);
    await turn();
    add(512 + 512 + 3); // the second and the third are under way besides, and a fourth grows
    let flushed = false;
    const flush = outbox.flush().then(() => (flushed = true));
    add(512 + 4); // fills the fourth, and a fifth grows
    await end(1);
    await end(2);
    await end(3);
    expect(flushed).toBe(false); // the first is under way
    add(512);
    await end(0);
    await flush;
    expect(outbox.busy).toBe(true);
    let all = false;
    const closing = outbox.close().then(() => (all = true));
    for (let i = 4; !all; i++) {
      expect(all).toBe(false);
      await end(i);
    }
    await closing;
  });

  it('what is waited for and given up is over when what is under way is', async () => {
    const { outbox, end } = manual();
    const sent = [outbox.add(message('a'))];
    await turn();
    sent.push(outbox.add(message('b')));
    const settled = Promise.allSettled(sent);
    let flushed = false;
    const flush = outbox.flush().then(() => (flushed = true));
    expect(outbox.abandon(new Error('over'))).toBe(1);
    await turn();
    expect(flushed).toBe(false);
    await end(0);
    await flush;
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('a batch is as old as its first item, also one that waited elsewhere', async () => {
    const { outbox, sent, end } = manual();
    outbox.post(message('a'), () => undefined, 0, 5);
    outbox.post(message('b'), () => undefined, 0);
    await turn();
    outbox.adopt(message('c'), () => undefined, 0, 7);
    await end(0);
    expect(sent.map(({ since }) => since)).toEqual([5, 7]);
    await end(1);
  });
});

describe('Outboxes of one budget', () => {
  const two = (options: OutboxOptions): { outboxes: TextBox[]; ends: Array<() => void> } => {
    const ends: Array<() => void> = [];
    const outboxes = [0, 1].map(() => box((batch) => new Promise((resolve) => ends.push(() => {
      answer(batch);
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
    expect(await Promise.all(sent)).toEqual(['1', '2', '3', '4']);
    for (let i = 0; i < 3; i++) void a!.add(message('again'));
    await expect(a!.add(message('too many'))).rejects.toBeInstanceOf(BackpressureError);
  });

  it('bytes are those that are written, also of a batch', async () => {
    const text = '\u6f22'.repeat(100); // three bytes each
    const { outboxes: [a], ends } = two({ budget: new Budget(10, 1_000), countUnderWay: true, maxBatchBytes: 700 });
    const sent = [a!.add(message(text)), a!.add(message(text)), a!.add(message(text))];
    await expect(a!.add(message(text))).rejects.toThrow('1000 bytes');
    sent.push(a!.add(message('x'.repeat(20))));
    for (let i = 0; i < 2; i++) {
      await turn();
      ends[i]!();
    }
    await Promise.all(sent);
    expect(ends).toHaveLength(2); // two in each
    await turn();
    const again = Array.from({ length: 4 }, () => a!.add(message('x'.repeat(230))));
    await expect(a!.add(message('x'))).rejects.toBeInstanceOf(BackpressureError);
    for (let i = 2; i < 4; i++) {
      await turn();
      ends[i]!();
    }
    await Promise.all(again);
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
    budget.take(item.bytes);
    const sent = new Promise<string>((resolve) => a!.adopt(item, resolve, 0, performance.now()));
    await turn();
    await expect(a!.add(message('more'))).rejects.toBeInstanceOf(BackpressureError);
    ends[0]!();
    expect(await sent).toBe('early');
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

describe('Outbox, without promises', () => {
  it('tells whoever waits, also what is refused', async () => {
    const { outbox, end } = manual();
    const told: unknown[] = [];
    outbox.post(message('a'), (result, place) => told.push([result, place]), 7);
    await turn();
    outbox.post(message('b'), (result, place) => told.push([result instanceof Failed && result.error, place]), 8);
    await end(0);
    await end(1, new Error('no'));
    await outbox.close();
    outbox.post(message('c'), (result, place) => told.push([result instanceof Failed && result.error, place]), 9);
    expect(told).toEqual([['a', 7], [new Error('no'), 8], [expect.any(ClosedError), 9]]);
  });

  it('together resolves in order when all have settled, throws what the first that failed, in order, failed with', async () => {
    const settles: Array<(result: string | Failed) => void> = [];
    const send = (_: number, settle: Settle<string>, place: number): void => void settles.push((result) => settle(result, place));
    expect(await together([], send)).toEqual([]);
    const good = together([0, 1, 2], send);
    for (const i of [2, 0, 1]) settles[i]!(`${i}`);
    expect(await good).toEqual(['0', '1', '2']);

    settles.length = 0;
    let settled = false;
    const bad = together([0, 1, 2], send).finally(() => (settled = true)).catch((error: unknown) => error);
    settles[2]!(new Failed(new Error('third')));
    settles[1]!(new Failed(new Error('second')));
    settles[1]!(new Failed(new Error('second again')));
    await turn();
    expect(settled).toBe(false);
    settles[0]!('0');
    expect(await bad).toEqual(new Error('second'));
  });
});
