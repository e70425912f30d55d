import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PartitionWindow, type Progress } from '../../../libs/redis-streams/dist/kernel/partition-window.js';
import { batches, singles } from '../../../libs/redis-streams/dist/partition/dispatch.js';
import type { RawMessage } from '../../../libs/redis-streams/dist/partition/delivery.js';
import { type Entry, footprint, idOf, type Stored, WindowModel } from './support/window-model.js';

const BEGIN: Stored = { watermark: '0-0', done: [], failures: [] };
const open = (capacity = 100, span = 800, start = BEGIN): PartitionWindow<number> => new PartitionWindow({ capacity, span }, start);

/** One step of a random life: what, and two numbers that choose among what there is. */
const step = fc.tuple(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant('push' as const) },
    { weight: 6, arbitrary: fc.constant('take' as const) },
    { weight: 3, arbitrary: fc.constant('dispatch' as const) },
    { weight: 9, arbitrary: fc.constantFrom('done', 'failed', 'putBack', 'unreadable', 'mixed') },
    { weight: 4, arbitrary: fc.constant('retry' as const) },
    { weight: 4, arbitrary: fc.constant('progress' as const) },
    { weight: 4, arbitrary: fc.constant('committed' as const) },
    { weight: 1, arbitrary: fc.constant('crash' as const) },
  ),
  fc.nat({ max: 40 }),
  fc.nat({ max: 255 }),
);
const life = fc.record({
  keys: fc.array(fc.constantFrom('a', 'a', 'b', 'c', 'd', undefined), { minLength: 1, maxLength: 24 }),
  capacity: fc.integer({ min: 1, max: 24 }),
  span: fc.integer({ min: 1, max: 4 }),
  serial: fc.boolean(),
  steps: fc.array(step, { maxLength: 160, size: 'max' }),
});

/** A partition's stream, the owners it has one after the other, and what they store. */
class Life {
  model: WindowModel;
  private batches: Entry[][] = [];
  private stored: Stored = BEGIN;
  private readonly gone = new Set<number>();
  private next = 0;
  private last = -1;

  constructor(
    private readonly keys: ReadonlyArray<string | undefined>,
    private readonly capacity: number,
    private readonly span: number,
    /** Never more than one message out. */
    private readonly serial: boolean,
  ) {
    this.model = new WindowModel(BEGIN, capacity, span, serial);
  }

  run(what: string, n: number, m: number): void {
    const { model } = this;
    switch (what) {
      case 'push':
        return this.push(n % 9);
      case 'take':
        return this.serial ? this.dispatch(0) : this.take(1 + (n % 4));
      case 'dispatch':
        return this.dispatch(this.serial ? 0 : n % 5);
      case 'retry':
        if (model.delayed.length > 0) model.retry(model.delayed[n % model.delayed.length]!);
        return;
      case 'progress':
        model.progress();
        return;
      case 'committed':
        return this.commit();
      case 'crash':
        return this.crash(n, m);
      default: {
        if (this.batches.length === 0) return;
        const [batch] = this.batches.splice(n % this.batches.length, 1) as [Entry[]];
        this.settle(what, batch, m);
      }
    }
  }

  /** Every message that is still there is handled: nothing was lost on the way. */
  drain(): void {
    const { model } = this;
    for (const batch of this.batches.splice(0)) this.settle('done', batch, 0);
    const enough = this.last + 20;
    for (let turn = 0; (model.read.at(-1)?.index ?? -1) < enough; turn++) {
      expect(turn).toBeLessThan(1_000);
      this.push(9);
      for (const entry of [...model.delayed]) model.retry(entry);
      for (let entry = model.take(); entry; entry = model.take()) model.done(entry);
      model.progress();
      while (model.pending.length > 0) this.commit();
      model.check();
    }
    expect(model.eligible()).toEqual([]);
    expect(model.window.open).toBe(0);
    expect(model.window.watermark).toBe(model.read.at(-1)!.id);
    expect(model.window.progress()).toMatchObject({ done: [], failures: [], passed: model.read.length });
    expect(footprint(model.window)).toBeLessThan(130 + model.delayed.length);
  }

  private push(count: number): void {
    for (let left = Math.min(count, this.model.window.room); left > 0; this.next++) {
      if (this.gone.has(this.next)) continue;
      this.model.push(this.next, this.keys[this.next % this.keys.length]);
      left--;
    }
    this.last = Math.max(this.last, this.next - 1);
  }

  private take(size: number): void {
    const batch: Entry[] = [];
    while (batch.length < size) {
      const entry = this.model.take(batch);
      if (!entry) break;
      batch.push(entry);
    }
    if (batch.length > 0) this.batches.push(batch);
  }

  /** As the consumer does: by its own batching, which leaves those that failed before alone. */
  private dispatch(size: number): void {
    const { model } = this;
    if (this.serial && this.batches.length > 0) return;
    const factory = size === 0 ? singles(() => undefined) : batches(() => undefined, size);
    const before: Entry[] = [];
    const batch = [...factory.take(model.window as unknown as PartitionWindow<RawMessage>)] as unknown as Entry[];
    if (batch.some(({ order }, i) => i > 0 && order <= batch[i - 1]!.order)) expect.fail('a batch out of stream order');
    for (const entry of batch) {
      model.accept(entry, before);
      before.push(entry);
    }
    if (batch.length > 1) expect(batch.every(({ failures }) => failures === 0)).toBe(true);
    if (batch.length > 0) this.batches.push(batch);
    else expect(model.eligible()).toEqual([]);
  }

  /** What may become of a batch: see OwnedPartition. */
  private settle(how: string, batch: Entry[], m: number): void {
    const { model } = this;
    const backwards = [...batch].reverse();
    switch (how) {
      case 'done':
        for (const entry of batch) model.done(entry);
        break;
      case 'failed':
      case 'putBack':
        for (const entry of backwards) model.failed(entry, how === 'failed');
        break;
      case 'mixed': // some have failed once too often
        for (const [i, entry] of backwards.entries()) if ((m >> (i % 8)) % 2 === 0) model.failed(entry, true); else model.done(entry);
        break;
      case 'unreadable': {
        const bad = batch[m % batch.length]!;
        model.done(bad);
        for (const entry of backwards) if (entry !== bad && model.failed(entry, false)) model.retry(entry);
      }
    }
  }

  private commit(): void {
    const progress = this.model.pending.shift();
    if (!progress) return;
    this.model.commit(progress);
    this.stored = progress;
  }

  /** The owner dies; meanwhile entries may be trimmed or deleted by hand. The next one goes on from what is stored. */
  private crash(n: number, m: number): void {
    const { model, stored } = this;
    const finished = new Set([...stored.done, ...model.read.filter(({ id, index }) => index <= this.indexOf(stored.watermark) || stored.done.includes(id)).map(({ id }) => id)]);
    const again = [...model.given].filter((id) => !finished.has(id));
    expect(again.length).toBeLessThanOrEqual(this.capacity); // as many may run twice, and no more
    const from = this.indexOf(stored.watermark) + 1;
    if (n % 3 === 0) for (let i = 0; i < m % 7; i++) this.gone.add(from + i);
    if (n % 3 === 1) for (let i = 0; i < 8; i++) if ((m >> i) % 2 === 1) this.gone.add(from + i * 2);
    this.next = from;
    this.batches = [];
    this.model = new WindowModel({ watermark: stored.watermark, done: [...stored.done], failures: [...stored.failures] }, this.capacity, this.span, this.serial);
  }

  private indexOf(id: string): number {
    if (id === '0-0') return -1;
    const [ms, seq] = id.split('-').map(Number) as [number, number];
    return (ms - 9) * 20 + seq - 5;
  }
}

describe('PartitionWindow', () => {
  it('is what the plain model says, through any life of pushes, batches, failures, commits, deaths and trims', () => {
    fc.assert(fc.property(life, ({ keys, capacity, span, serial, steps }) => {
      const partition = new Life(keys, capacity, capacity * span, serial);
      for (const [what, n, m] of steps) {
        partition.run(what, n, m);
        partition.model.check();
      }
      partition.model.progress();
      partition.drain();
    }), { numRuns: 1_000 });
  }, 60_000);

  it('from any snapshot, exactly what was unfinished then comes again, each key in its order', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('a', 'b', 'c', undefined), { minLength: 1, maxLength: 60 }), fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 80 }), (keys, moves) => {
      const window = open();
      for (const [i, key] of keys.entries()) window.push(idOf(i), key, i);
      const running: Entry[] = [];
      const finished = new Set<number>();
      for (const [n, finish] of moves) {
        if (finish && running.length > 0) {
          const [entry] = running.splice(n % running.length, 1) as [Entry];
          window.done(entry);
          finished.add(entry.value);
        } else {
          const entry = window.take();
          if (entry) running.push(entry);
        }
      }
      const stored = window.progress();
      const next = open(100, 800, stored);
      for (const [i, key] of keys.entries()) if (i >= stored.passed) next.push(idOf(i), key, i);
      const again: number[] = [];
      for (let entry = next.take(); entry; entry = next.take()) {
        again.push(entry.value);
        next.done(entry);
      }
      const left = keys.map((_, i) => i).filter((i) => !finished.has(i));
      expect([...again].sort((a, b) => a - b)).toEqual(left);
      for (const key of ['a', 'b', 'c']) expect(again.filter((i) => keys[i] === key)).toEqual(left.filter((i) => keys[i] === key));
      expect(next.progress()).toMatchObject({ watermark: idOf(keys.length - 1), done: [] });
    }), { numRuns: 500 });
  });

  it('holds on to nothing it has passed, however long it lives', () => {
    const window = open(256, 2_048);
    let most = 0;
    let at = 0;
    for (let turn = 0; turn < 1_000; turn++) {
      for (let room = window.room; room > 0; room--) window.push(idOf(at++), at % 3 === 0 ? undefined : `key-${at % 500}`, at);
      const taken: Entry[] = [];
      while (taken.length < 200) {
        const entry = window.take();
        if (!entry) break;
        taken.push(entry);
      }
      for (const entry of taken.reverse()) if (entry.value % 97 === 0 && entry.failures === 0) { if (window.failed(entry)) window.retry(entry); } else window.done(entry);
      window.committed(window.progress());
      most = Math.max(most, footprint(window));
    }
    expect(at).toBeGreaterThan(100_000);
    expect(most).toBeLessThan(12_000);
    for (let entry = window.take(); entry; entry = window.take()) window.done(entry);
    expect(window.open).toBe(0);
    expect(footprint(window)).toBeLessThan(200);
  });

  it('a message of one blocked key keeps neither the others nor, beyond the span, the memory', () => {
    const window = open(10, 50);
    window.push(idOf(0), 'slow', 0);
    const slow = window.take()!;
    let handled = 0;
    for (let i = 1; window.room > 0 && i < 200; i++) {
      window.push(idOf(i), `k${i}`, i);
      const entry = window.take()!;
      window.done(entry);
      handled++;
      window.committed(window.progress());
    }
    expect(handled).toBe(49);
    expect(window.progress().done).toHaveLength(49);
    window.done(slow);
    expect(window.progress()).toMatchObject({ watermark: idOf(49), done: [] });
    expect(window.room).toBe(9); // one is finished and not committed
  });

  it('what is not committed counts against the room, handled or not', () => {
    const window = open(4, 100);
    for (let i = 0; i < 4; i++) window.push(idOf(i), undefined, i);
    expect(window.room).toBe(0);
    const before = window.progress();
    for (let i = 0; i < 4; i++) window.done(window.take()!);
    expect(window.room).toBe(0);
    window.committed(before);
    expect(window.room).toBe(0);
    const after = window.progress();
    window.committed(after);
    expect(window.room).toBe(4);
    window.committed(before); // an old one, late
    expect(window.room).toBe(4);
  });

  it('a batch may hold several of a key, and they fail back in their order', () => {
    const window = open();
    for (const [i, key] of ['a', 'b', 'a', 'a', 'b', 'a'].entries()) window.push(idOf(i), key, i);
    const first = window.take()!;
    const joined = [window.take(new Set(['a']))!, window.take(new Set(['a', 'b']))!];
    expect([first, ...joined].map(({ value }) => value)).toEqual([0, 1, 2]);
    expect(window.take()).toBeUndefined();
    expect([joined[1]!, joined[0]!, first].map((entry) => window.failed(entry))).toEqual([false, true, true]);
    window.retry(joined[0]!);
    window.retry(first);
    const order: number[] = [];
    for (let entry = window.take(); entry; entry = window.take()) {
      order.push(entry.value);
      expect(entry.failures).toBe(entry.value < 3 ? 1 : 0);
      window.done(entry);
    }
    expect(order.filter((i) => [0, 2, 3, 5].includes(i))).toEqual([0, 2, 3, 5]);
    expect(order.filter((i) => [1, 4].includes(i))).toEqual([1, 4]);
  });

  it('batches of one key stay batches when several run side by side', () => {
    for (const keys of [1, 2, 3]) {
      const window = open(1_000, 8_000);
      for (let i = 0; i < 300; i++) window.push(idOf(i), `k${i % keys}`, i);
      const factory = batches(() => undefined, 100);
      const running: Entry[][] = [];
      let count = 0;
      for (;;) {
        while (running.length < 3) {
          const batch = factory.take(window as unknown as PartitionWindow<RawMessage>) as unknown as Entry[];
          if (batch.length === 0) break;
          running.push(batch);
          count++;
        }
        const ended = running.shift();
        if (!ended) break;
        for (const entry of ended) window.done(entry);
      }
      expect([keys, count <= 5, window.open]).toEqual([keys, true, 0]);
    }
  });

  it('a failed one is not given out before its delay is over, and its key waits', () => {
    const window = open();
    for (const [i, key] of ['a', 'a', 'b'].entries()) window.push(idOf(i), key, i);
    const a = window.take()!;
    expect(window.failed(a)).toBe(true);
    expect(window.take()!.value).toBe(2);
    expect(window.take()).toBeUndefined();
    window.retry(a);
    expect(window.take()).toBe(a);
    expect(window.take()).toBeUndefined();
    window.done(a);
    expect(window.take()!.value).toBe(1);
  });

  it('those whose turn has come are given out in the order in which it came, before new ones', () => {
    const window = open();
    for (const [i, key] of ['a', 'b', 'c', 'a', 'd'].entries()) window.push(idOf(i), key, i);
    const [a, b, c] = [window.take()!, window.take()!, window.take()!];
    for (const entry of [a, b, c]) window.failed(entry);
    window.retry(b);
    window.retry(c);
    window.retry(a);
    expect([window.take(), window.take(), window.take()]).toEqual([b, c, a]);
    expect(window.take()!.value).toBe(4);
    window.done(a);
    expect(window.take()!.value).toBe(3);
  });

  it('done twice is done once', () => {
    const window = open();
    for (const [i, key] of ['a', 'a', 'a'].entries()) window.push(idOf(i), key, i);
    const a = window.take()!;
    window.done(a);
    window.done(a);
    expect(window.take()!.value).toBe(1);
    expect(window.take()).toBeUndefined();
    expect(window.progress()).toMatchObject({ passed: 1, finished: 1 });
  });

  describe('what an earlier owner left', () => {
    const start: Stored = { watermark: '5-0', done: ['7-0', '9-0', '10-0'], failures: [['6-0', 2], ['8-0', 1], ['11-0', 4]] };
    const ids = (progress: Progress): unknown => [progress.watermark, progress.done, [...progress.failures].sort()];

    it('stays in what is stored until it is read again', () => {
      const window = open(100, 100, start);
      expect(ids(window.progress())).toEqual(['5-0', ['7-0', '9-0', '10-0'], [['11-0', 4], ['6-0', 2], ['8-0', 1]]]);
      window.push('6-0', 'a', 6);
      expect(window.take()!.failures).toBe(2);
      window.push('7-0', 'a', 7);
      expect(window.take()).toBeUndefined();
      expect(ids(window.progress())).toEqual(['5-0', ['7-0', '9-0', '10-0'], [['11-0', 4], ['6-0', 2], ['8-0', 1]]]);
    });

    it('is forgotten once something later is read without it: it was trimmed', () => {
      const window = open(100, 100, start);
      window.push('9-0', 'a', 9);
      expect(ids(window.progress())).toEqual(['9-0', ['10-0'], [['11-0', 4]]]);
      window.push('12-0', 'a', 12);
      expect(ids(window.progress())).toEqual(['9-0', [], []]);
    });

    it('does not count as finished by this one', () => {
      const window = open(2, 100, start);
      window.push('7-0', 'a', 7);
      window.push('9-0', 'a', 9);
      expect([window.room, window.watermark, window.progress().finished, window.progress().passed]).toEqual([2, '9-0', 0, 2]);
    });
  });
});
