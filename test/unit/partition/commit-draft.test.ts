import { describe, expect, it } from 'vitest';
import { PartitionWindow } from '../../../libs/redis-streams/dist/kernel/partition-window.js';
import { CommitDraft } from '../../../libs/redis-streams/dist/partition/commit-draft.js';
import type { RawMessage } from '../../../libs/redis-streams/dist/partition/delivery.js';
import type { OpenedPartition } from '../../../libs/redis-streams/dist/partition/partition-store.js';

const opened: OpenedPartition = { watermark: '10-0', entriesRead: 100, done: [], failures: [], losses: 0, mark: undefined, markCrashes: 0, dropped: '3', lag: 50, end: '90-0' };

function draft(over: Partial<OpenedPartition> = {}, keepMs = 0) {
  const window = new PartitionWindow<RawMessage>({ capacity: 10_000, span: 80_000 }, { ...opened, ...over });
  const it_ = new CommitDraft(4, 77, { ...opened, ...over }, window, keepMs);
  let next = 11;
  const handle = (count: number): void => {
    for (let i = 0; i < count; i++) window.push(`${next++}-0`, undefined, {} as RawMessage);
    for (let i = 0; i < count; i++) window.done(window.take()!);
  };
  const read = (count: number): void => { for (let i = 0; i < count; i++) window.push(`${next++}-0`, 'k', {} as RawMessage); };
  return { draft: it_, window, handle, read };
}

describe('CommitDraft', () => {
  it('numbers its commits, and says where the partition stands', () => {
    const { draft: d, handle } = draft();
    handle(3);
    expect(d.item(10)).toMatchObject({ partition: 4, token: 77, sequence: 1, progress: { watermark: '13-0', passed: 3 }, entriesRead: 103, dropped: '3', mark: undefined, parked: [] });
    handle(2);
    expect(d.item(20)).toMatchObject({ sequence: 2, progress: { watermark: '15-0', passed: 5 }, entriesRead: 105 });
  });

  it('does not claim to know how many were read when nobody does, until the server says', () => {
    const { draft: d, handle } = draft({ entriesRead: -1 });
    handle(2);
    const item = d.item(5_000);
    expect(item.entriesRead).toBe(-1);
    d.accepted(item, { lag: 7, entriesRead: 40, dropped: '9' });
    handle(1);
    expect(d.item(5_100)).toMatchObject({ entriesRead: 41, dropped: '9' });
  });

  it('stops claiming when the server knows better', () => {
    const { draft: d, handle } = draft();
    handle(1);
    d.accepted(d.item(5_000), { lag: -1, entriesRead: -1, dropped: '12' });
    handle(1);
    expect(d.item(5_100)).toMatchObject({ entriesRead: -1, dropped: '12' });
  });

  it('carries a dead letter in one commit and no other', () => {
    const { draft: d } = draft();
    const [a, b] = [{ id: '11-0', fields: ['reason', 'x'] }, { id: '12-0', fields: ['reason', 'y'] }];
    d.park(a);
    d.park(b);
    const first = d.item(10);
    d.park({ id: '13-0', fields: [] });
    expect(first.parked).toEqual([a, b]);
    expect(d.item(20).parked).toEqual([{ id: '13-0', fields: [] }]);
    expect(d.item(30).parked).toEqual([]);
  });

  it('names the suspect that runs while it runs', () => {
    const { draft: d } = draft();
    d.mark = { id: '11-0', crashes: 2 };
    expect(d.item(10).mark).toEqual({ id: '11-0', crashes: 2 });
    d.mark = undefined;
    expect(d.item(20).mark).toBeUndefined();
  });

  it('asks how far behind it is about once a second', () => {
    const { draft: d } = draft();
    expect([5_000, 5_100, 5_999, 6_000, 6_999, 7_000].map((now) => d.item(now).wantLag)).toEqual([true, false, false, true, false, true]);
  });

  it('has what is committed trimmed every 1,024 messages, and within about a second in any case', () => {
    const { draft: d, handle } = draft();
    const trims: boolean[] = [];
    const commit = (now: number, count: number): void => {
      handle(count);
      trims.push(d.item(now).trim);
    };
    commit(5_000, 1); // the first look at the lag trims too
    commit(5_010, 1_000);
    expect(d.needsTrim(5_015)).toBe(true);
    commit(5_020, 24);
    expect(d.needsTrim(5_025)).toBe(false);
    commit(5_030, 10);
    expect(d.needsTrim(5_035)).toBe(true);
    commit(6_500, 0);
    expect(d.needsTrim(1_000_000)).toBe(false);
    commit(9_000, 0); // nothing new: nothing to trim
    expect(trims).toEqual([true, false, true, false, true, false]);
  });

  it('has what the stream keeps for a while trimmed when that is over, though nothing is handled any more', () => {
    const { draft: d, handle } = draft({}, 20_000);
    const trims: boolean[] = [];
    const commit = (now: number, count: number): void => {
      handle(count);
      trims.push(d.item(now).trim);
    };
    expect(d.needsTrim(0)).toBe(true); // those before may have left something
    commit(5_000, 100);
    expect([6_000, 24_999].map((now) => d.needsTrim(now))).toEqual([false, false]);
    commit(8_000, 50); // and these are kept for as long
    expect([27_999, 28_100].map((now) => d.needsTrim(now))).toEqual([false, true]);
    commit(28_100, 0);
    expect(d.needsTrim(1_000_000)).toBe(false);
    commit(1_000_000, 0);
    expect(trims).toEqual([true, true, true, false]);
  });

  it('knows how many are behind between two answers: what was handled since is counted off, what was read is counted at least', () => {
    const { draft: d, handle, read, window } = draft();
    expect(d.behind).toBe(50);
    handle(10);
    const item = d.item(5_000);
    expect(d.behind).toBe(40);
    d.accepted(item, { lag: 60, entriesRead: 110, dropped: '3' });
    expect(d.behind).toBe(60);
    handle(5);
    d.item(5_010);
    expect(d.behind).toBe(55);
    d.accepted(d.item(5_020), { lag: -1, entriesRead: 115, dropped: '3' }); // unknown: as before
    expect(d.behind).toBe(55);
    read(200);
    expect(d.behind).toBe(200);
    expect(window.open).toBe(200);
  });

  it('an accepted commit makes room, no later one does', () => {
    const { draft: d, handle, window } = draft();
    handle(100);
    const room = window.room;
    const item = d.item(10);
    handle(50);
    d.accepted(item, 'OK');
    expect(window.room).toBe(room + 100 - 50);
  });
});
