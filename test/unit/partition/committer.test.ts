import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandTimeoutError, FencedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Committer } from '../../../libs/redis-streams/dist/partition/committer.js';
import type { OwnedPartition } from '../../../libs/redis-streams/dist/partition/owned-partition.js';
import type { CommitAnswer, CommitItem, PartitionStore } from '../../../libs/redis-streams/dist/partition/partition-store.js';

/** A partition that counts: its commits are numbered, and say how much was done when they were made. */
class Counted {
  readonly stream = 's';
  readonly token = 7;
  isUrgent = false;
  work = 0;
  sequence = 0;
  stored = 0;
  readonly answers: Array<[sequence: number, answer: CommitAnswer]> = [];

  constructor(readonly partition: number) {}

  commitItem(): CommitItem {
    return { partition: this.partition, token: this.token, sequence: ++this.sequence, progress: { passed: this.work } } as CommitItem;
  }

  committed(item: CommitItem, answer: CommitAnswer): void {
    this.stored = item.progress.passed;
    this.answers.push([item.sequence, answer]);
  }

  get owned(): OwnedPartition {
    return this as unknown as OwnedPartition;
  }
}

type Reply = CommitAnswer[] | Error;
type Call = ReadonlyArray<readonly [partition: number, sequence: number]>;

/** A committer whose server answers as told; by default OK to all. */
function committer(answer: (call: Call, n: number) => Reply | Promise<Reply> = (call) => call.map(() => 'OK')) {
  const calls: Call[] = [];
  const log: string[] = [];
  const state = { live: true, running: 0, most: 0 };
  const store = {
    commit: async (shard: number, items: readonly CommitItem[]): Promise<CommitAnswer[]> => {
      expect(shard).toBe(3);
      const call = items.map(({ partition, sequence }) => [partition, sequence] as const);
      calls.push(call);
      state.most = Math.max(state.most, ++state.running);
      try {
        const reply = await answer(call, calls.length);
        if (reply instanceof Error) throw reply;
        return reply;
      } finally {
        state.running--;
      }
    },
  } as unknown as PartitionStore;
  const made = new Committer(store, 3, {
    isLive: () => state.live,
    committed: ({ partition }, { sequence }) => log.push(`committed ${partition}:${sequence}`),
    fenced: ({ partition }) => log.push(`fenced ${partition}`),
    trouble: ({ partition }, error) => log.push(`trouble ${partition} ${error.message}`),
  });
  return { c: made, calls, log, state };
}

const wrongType = (): Error => new Error('WRONGTYPE Operation against a key holding the wrong kind of value');
const lost = (): Error => new CommandTimeoutError('EVALSHA', 5);
const outcome = async (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'stored', (error: unknown) => error);
const held = (): { promise: Promise<Reply>; open: (reply: Reply) => void } => {
  let open!: (reply: Reply) => void;
  return { promise: new Promise((resolve) => (open = resolve)), open: (reply) => open(reply) };
};

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('Committer', () => {
  it('one call for all partitions that changed in one turn', async () => {
    const { c, calls, log } = committer();
    const partitions = [new Counted(0), new Counted(1), new Counted(2)];
    for (const partition of [...partitions, ...partitions]) c.mark(partition.owned);
    await pass(0);
    expect(calls).toEqual([[[0, 1], [1, 1], [2, 1]]]);
    expect(log).toEqual(['committed 0:1', 'committed 1:1', 'committed 2:1']);
  });

  it('what ends in one turn of the event loop shares a call, however many promises lie between', async () => {
    const { c, calls } = committer();
    const [a, b] = [new Counted(0), new Counted(1)];
    c.mark(a.owned);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    c.mark(b.owned);
    await pass(0);
    expect(calls).toEqual([[[0, 1], [1, 1]]]);
  });

  it.each(['flush', 'urgent'] as const)('a %s during a call is the next call, with no distance between', async (why) => {
    const first = held();
    const { c, calls } = committer((call, n) => (n === 1 ? first.promise : call.map(() => 'OK')));
    const p = new Counted(0);
    c.mark(p.owned);
    await pass(0);
    p.isUrgent = why === 'urgent';
    if (why === 'flush') void c.flush(p.owned);
    else c.mark(p.owned);
    first.open(['OK']);
    await pass(0);
    expect(calls).toHaveLength(2);
  });

  it('says what is done when the call is made, not when it was asked for', async () => {
    const { c } = committer();
    const p = new Counted(0);
    c.mark(p.owned);
    p.work = 5;
    await pass(0);
    expect(p.stored).toBe(5);
  });

  it('one call at a time; what changes meanwhile is the next', async () => {
    const first = held();
    const { c, calls, state } = committer((call, n) => (n === 1 ? first.promise : call.map(() => 'OK')));
    const [a, b] = [new Counted(0), new Counted(1)];
    c.mark(a.owned);
    await pass(20);
    a.work = 1;
    c.mark(a.owned);
    c.mark(b.owned);
    await pass(1_000);
    expect(calls).toEqual([[[0, 1]]]);
    first.open(['OK']);
    await pass(20);
    expect(calls).toEqual([[[0, 1]], [[0, 2], [1, 1]]]);
    expect(a.stored).toBe(1);
    expect(state.most).toBe(1);
  });

  it('more than fit in one call go in several, none is left', async () => {
    const { c, calls } = committer();
    const partitions = Array.from({ length: 300 }, (_, i) => new Counted(i));
    for (const partition of partitions) c.mark(partition.owned);
    await pass(100);
    expect(calls.map((call) => call.length)).toEqual([128, 128, 44]);
    expect(partitions.every(({ answers }) => answers.length === 1)).toBe(true);
  });

  it('a lost answer is asked for again: the same call, the same sequence', async () => {
    const { c, calls, log } = committer((call, n) => (n <= 3 ? lost() : call.map(() => 'OK')));
    const [a, b] = [new Counted(0), new Counted(1)];
    c.mark(a.owned);
    c.mark(b.owned);
    await pass(0);
    a.work = 9; // not in the call under way, whatever becomes of it
    const flushed = outcome(c.flush(a.owned));
    await pass(2_000);
    expect(calls.slice(0, 4)).toEqual(Array.from({ length: 4 }, () => [[0, 1], [1, 1]]));
    expect(calls.slice(4)).toEqual([[[0, 2]]]);
    expect(await flushed).toBe('stored');
    expect(a.stored).toBe(9);
    expect(log).toEqual(['committed 0:1', 'committed 1:1', 'committed 0:2']);
  });

  it('calls of a busy shard keep a distance, unless somebody waits or reading ahead runs out', async () => {
    const { c, calls } = committer();
    const p = new Counted(0);
    c.mark(p.owned);
    await pass(1);
    c.mark(p.owned);
    await pass(1);
    expect(calls).toHaveLength(1);
    const flushed = outcome(c.flush(p.owned));
    await pass(0);
    expect(calls).toHaveLength(2);
    expect(await flushed).toBe('stored');
    c.mark(p.owned);
    await pass(1);
    expect(calls).toHaveLength(2);
    p.isUrgent = true;
    c.mark(p.owned);
    await pass(0);
    expect(calls).toHaveLength(3);
    p.isUrgent = false;
    c.mark(p.owned);
    await pass(10);
    expect(calls).toHaveLength(4);
    await pass(10_000);
    expect(calls).toHaveLength(4);
  });

  describe('flush', () => {
    it('resolves when what is done at that moment is stored, not by a call that was already under way', async () => {
      const [first, second] = [held(), held()];
      const { c } = committer((_, n) => (n === 1 ? first.promise : second.promise));
      const p = new Counted(0);
      c.mark(p.owned);
      await pass(0);
      p.work = 1;
      const flushed = vi.fn();
      void c.flush(p.owned).then(flushed);
      first.open(['OK']);
      await pass(10);
      expect(flushed).not.toHaveBeenCalled();
      second.open(['OK']);
      await pass(0);
      expect(flushed).toHaveBeenCalled();
      expect(p.stored).toBe(1);
    });

    it('several wait for one call', async () => {
      const { c, calls } = committer();
      const p = new Counted(0);
      expect(await Promise.all([outcome(c.flush(p.owned)), outcome(c.flush(p.owned)), pass(0)])).toMatchObject(['stored', 'stored', {}]);
      expect(calls).toHaveLength(1);
    });

    it('tells those who wait that the partition has another owner, and the rest goes on', async () => {
      const { c, log } = committer((call) => call.map(([partition]) => (partition === 1 ? 'FENCED' : { lag: 12, entriesRead: 5, dropped: '0' })));
      const [a, b] = [new Counted(0), new Counted(1)];
      const [first, second] = [outcome(c.flush(a.owned)), outcome(c.flush(b.owned))];
      await pass(0);
      expect(await first).toBe('stored');
      expect(await second).toBeInstanceOf(FencedError);
      expect(await second).toMatchObject({ resource: 's/1', token: 7 });
      expect(log).toEqual(['committed 0:1', 'fenced 1']);
      expect(a.answers).toEqual([[1, { lag: 12, entriesRead: 5, dropped: '0' }]]);
      expect(b.answers).toEqual([]);
    });

    it('ends when the session does, even with the server gone', async () => {
      const { c, log, state, calls } = committer(lost);
      const p = new Counted(0);
      const flushed = outcome(c.flush(p.owned));
      await pass(1_000);
      state.live = false;
      await pass(200);
      expect(await flushed).toBeInstanceOf(FencedError);
      expect(log).toEqual([]); // nobody has refused it: the loss of the session is told elsewhere
      const before = calls.length;
      await pass(5_000);
      expect(calls).toHaveLength(before);
    });
  });

  describe('one partition that the server chokes on', () => {
    const choking = (call: Call): Reply => (call.some(([partition]) => partition === 1) ? wrongType() : call.map(() => 'OK'));

    it('does not keep the others of the same call, and is tried and reported for as long as the session lasts', async () => {
      const { c, log, state } = committer(choking);
      const [a, b, d] = [new Counted(0), new Counted(1), new Counted(2)];
      const stored = [outcome(c.flush(a.owned)), outcome(c.flush(d.owned))];
      const bad = outcome(c.flush(b.owned));
      await pass(50);
      expect(log).toEqual(expect.arrayContaining(['committed 0:1', 'committed 2:1', `trouble 1 ${wrongType().message}`]));
      expect(await Promise.all(stored)).toEqual(['stored', 'stored']);
      await pass(5_000);
      expect(log.filter((line) => line.startsWith('trouble')).length).toBeGreaterThan(2);
      state.live = false;
      await pass(5_000);
      expect(await bad).toBeInstanceOf(FencedError);
    });

    it('does not keep the others later on either', async () => {
      const { c, log } = committer(choking);
      const [a, b] = [new Counted(0), new Counted(1)];
      c.mark(b.owned);
      await pass(500);
      expect(log).toEqual([`trouble 1 ${wrongType().message}`]);
      for (let i = 1; i <= 3; i++) {
        const stored = vi.fn();
        void c.flush(a.owned).then(stored);
        c.mark(b.owned);
        await pass(50);
        expect([i, stored.mock.calls.length]).toEqual([i, 1]);
      }
    });

    it('has one commit under way at most: a later one must not overtake it, its dead letters would be lost', async () => {
      let mended = false;
      const { c, calls } = committer((call) => (mended ? call.map(() => 'OK') : choking(call)));
      const [a, b] = [new Counted(0), new Counted(1)];
      for (let i = 0; i < 20; i++) {
        c.mark(a.owned);
        c.mark(b.owned);
        await pass(100);
      }
      const sequences = (): number[] => calls.flat().flatMap(([partition, sequence]) => (partition === 1 ? [sequence] : []));
      expect(new Set(sequences())).toEqual(new Set([1]));
      mended = true;
      await pass(5_000);
      expect(b.answers.map(([sequence]) => sequence)).toEqual([1, 2]);
      expect(sequences()).toEqual([...sequences()].sort((x, y) => x - y));
      expect(a.stored).toBe(a.work);
    });

    it('recovers with all that it had to say', async () => {
      let mended = false;
      const { c } = committer((call) => (mended ? call.map(() => 'OK') : choking(call)));
      const b = new Counted(1);
      const first = outcome(c.flush(b.owned));
      await pass(200);
      b.work = 4;
      const second = outcome(c.flush(b.owned));
      mended = true;
      await pass(3_000);
      expect([await first, await second, b.stored]).toEqual(['stored', 'stored', 4]);
    });
  });
});
