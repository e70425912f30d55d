import { describe, expect, it } from 'vitest';
import { acked, death, ejected, joined, leaving, release, saw, SHORT, shown, TWO, verdictOn } from './support/room-evidence.js';

/** Both saw two messages, in lock-step. */
const good = { entries: [...TWO, ...saw(11, 'w1/1', '1'), ...saw(11, 'w2/1', '1'), ...saw(21, 'w1/1', '2'), ...saw(21, 'w2/1', '2')], releases: [release('1', 10), release('2', 20)] };

describe('The judge of rooms', () => {
  it('has nothing against lock-step', () => {
    const { counts, breaches } = verdictOn(good);
    expect(breaches).toEqual([]);
    expect(counts).toMatchObject({ sent: 2, shown: 4, acked: 4, released: 2, violations: 0, lostForLive: 0 });
  });

  it('has nothing against one that left, stayed for async messages only, or was ejected after it was shown the message', () => {
    const late = [...TWO, ...saw(11, 'w1/1', '1'), shown(11, 'w2/1', '1'), ejected(2_011, 'w2/1', 'timeout'), ...saw(2_013, 'w1/1', '2')];
    expect(verdictOn({ entries: late, releases: [release('1', 10), release('2', 2_012)] }).breaches).toEqual([]);
    const left = [...TWO, leaving(5, 'w2/1'), ...saw(11, 'w1/1', '1'), ...saw(21, 'w1/1', '2')];
    expect(verdictOn({ ...good, entries: left }).breaches).toEqual([]);
    const listens = [...TWO, joined(2, 'w3/1', 's1:1', 'async'), ...good.entries.slice(TWO.length)];
    expect(verdictOn({ ...good, entries: listens }).breaches).toEqual([]);
  });

  it('has nothing against a message that goes out again because the last one left before its acknowledgement was heard', () => {
    const again = [shown(2_001, 'w1/1', '1', 1), acked(2_002, 'w1/1', '1', 1)];
    const told = (ackedAt: number) => verdictOn({
      entries: [...TWO, shown(11, 'w1/1', '1'), leaving(12, 'w1/1'), acked(ackedAt, 'w1/1', '1'), shown(11, 'w2/1', '1'), joined(1_000, 'w1/1', 's1:1'), ...again],
      releases: [release('1', 10), release('1', 2_000, 9, 1)], deaths: { 's2:1': death('w2', 20, 1_900) },
    }).counts;
    expect(told(13)).toMatchObject({ redelivered: 1, redeliveredThoughAcked: 0 });
    expect(told(11.5)).toMatchObject({ redelivered: 1, redeliveredThoughAcked: 1 });
    // A stop waits for its handlers, and for their acknowledgements to be heard.
    const drained = verdictOn({
      entries: [...TWO, shown(11, 'w1/1', '1'), leaving(12, 'w1/1', 'stop'), acked(500, 'w1/1', '1'), shown(11, 'w2/1', '1'), joined(1_000, 'w3/1', 's3:1'), ...saw(2_001, 'w3/1', '1').map((entry) => ({ ...entry, redelivery: 1 }))],
      releases: [release('1', 10), release('1', 2_000, 9, 1)], deaths: { 's2:1': death('w2', 20, 1_900) },
    });
    expect(drained.counts).toMatchObject({ redelivered: 1, redeliveredThoughAcked: 1 });
  });

  it.each([
    ['nothing was sent', { entries: TWO, releases: [] }, /^0 messages were sent and 0 shown/],
    ['nothing was shown', { entries: TWO, releases: [], sent: ['1'] }, /1 messages were sent and 0 shown/],
    ['there is no evidence at all', { entries: [], releases: [], sent: [] }, /^0 messages were sent/],
    ['the next message went out too early', {
      entries: [...TWO, ...saw(11, 'w1/1', '1'), shown(11, 'w2/1', '1'), acked(30, 'w2/1', '1'), ...saw(21, 'w1/1', '2'), ...saw(31, 'w2/1', '2')], releases: good.releases,
    }, /next message went out before a member had acknowledged/],
    ['a member was not shown a message, and the next went out at once', {
      entries: [...TWO, ...saw(11, 'w1/1', '1'), ...saw(21, 'w1/1', '2'), ...saw(21, 'w2/1', '2')], releases: good.releases,
    }, /did not reach a subscriber/],
    ['one was shown a message twice', { ...good, entries: [...good.entries, shown(13, 'w1/1', '1')] }, /shown to one handler twice/],
    ['one was shown messages in another order', {
      entries: [...TWO, ...saw(11, 'w1/1', '1'), ...saw(21, 'w1/1', '2'), ...saw(22, 'w2/1', '2'), ...saw(24, 'w2/1', '1')], releases: good.releases,
    }, /out of their order/],
    ['messages of one priority went out in another order', { ...good, releases: [release('2', 10), release('1', 20)], entries: [...TWO, ...saw(11, 'w1/1', '2'), ...saw(11, 'w2/1', '2'), ...saw(21, 'w1/1', '1'), ...saw(21, 'w2/1', '1')] }, /out of their order/],
    ['an accepted message was shown to nobody', { ...good, sent: ['1', '2', '3'] }, /shown to nobody: r: 3, which never went out/],
    ['one was shown what never went out', { ...good, entries: [...good.entries, ...saw(30, 'w1/1', '9')] }, /never went out/],
    ['one was shown a message after it was ejected', { ...good, entries: [...good.entries, ejected(15, 'w2/1', 'timeout')] }, /not in their room/],
    ['a message went out again although all had acknowledged it', {
      entries: [...TWO, ...saw(11, 'w1/1', '1'), ...saw(11, 'w2/1', '1'), shown(2_001, 'w1/1', '1', 1), acked(2_002, 'w1/1', '1', 1), shown(2_001, 'w2/1', '1', 1), acked(2_002, 'w2/1', '1', 1)],
      releases: [release('1', 10), release('1', 2_000, 9, 1)],
    }, /went out again although/],
    ['one was ejected before its time was over', { entries: [...TWO, ...saw(11, 'w1/1', '1'), shown(11, 'w2/1', '1'), ejected(15, 'w2/1', 'timeout'), ...saw(21, 'w1/1', '2')], releases: good.releases }, /before its time was over/],
    ['one died without being waited for', {
      entries: [...TWO, ...saw(11, 'w1/1', '1'), ...saw(21, 'w1/1', '2')], releases: good.releases, deaths: { 's2:1': death('w2', 15, 1_000) },
    }, /next message went out before/],
  ])('tells when %s', (_what, story, breach) => {
    expect(verdictOn(story).breaches).toEqual(expect.arrayContaining([expect.stringMatching(breach)]));
    expect(verdictOn({ ...story, allowed: SHORT }).breaches).toEqual(expect.arrayContaining([expect.stringMatching(breach)]));
  });

  describe('of a live member that was never shown a message and is ejected by the room\'s time', () => {
    const releases = [release('1', 10), release('2', 3_512, 5)];
    const rest = [...saw(11, 'w1/1', '1'), ...saw(3_513, 'w1/1', '2')];

    it.each([['the process', [ejected(3_511, 'w2/1', 'expired')]], ['the server', [ejected(3_520, 'w2/1', 'timeout')]], ['nobody who says so', []]])('says that it was lost, when %s noticed', (_who, out) => {
      const { counts, breaches } = verdictOn({ entries: [...TWO, ...rest, ...out], releases, allowed: SHORT });
      expect(counts['lostForLive']).toBe(1);
      expect(breaches).toEqual([expect.stringMatching(/did not reach a subscriber.*never shown/)]);
    });

    it('says nothing of one that was stopped meanwhile, or meant to leave', () => {
      const stopped = { 's2:1': death('w2', 8, 1_000) };
      expect(verdictOn({ entries: [...TWO, ...rest, ejected(3_511, 'w2/1', 'expired')], releases, deaths: stopped, allowed: SHORT }).counts['lostForLive']).toBe(0);
      expect(verdictOn({ entries: [...TWO, ...rest, leaving(12, 'w2/1'), ejected(3_511, 'w2/1', 'expired')], releases, allowed: SHORT }).counts['lostForLive']).toBe(0);
    });
  });

  describe('of a room that stands still', () => {
    /** w2 was shown the first message and died over it; the next went out at `nextAt`. */
    const over = (nextAt: number, deaths: Parameters<typeof verdictOn>[0]['deaths'], more: typeof TWO = []) =>
      verdictOn({ entries: [...TWO, ...more, ...saw(11, 'w1/1', '1'), shown(11, 'w2/1', '1'), ...saw(nextAt + 1, 'w1/1', '2')], releases: [release('1', 10), release('2', nextAt, 5)], deaths: deaths ?? {}, endAt: nextAt + 10 });

    it('allows the deadline of the dead and a little more', () => {
      const { counts, breaches } = over(1_300, { 's2:1': death('w2', 12, 1_000) });
      expect(breaches).toEqual([]);
      expect(counts).toMatchObject({ stalls: 1, longestStallMs: 1_288, longestOverdueMs: 300 });
    });

    it('tells what lies beyond the deadline, however soon after the death that is', () => {
      const { counts, breaches } = over(1_900, { 's2:1': death('w2', 12, 700) });
      expect(counts).toMatchObject({ longestStallMs: 1_888, longestOverdueMs: 1_200 });
      expect(breaches).toEqual([expect.stringMatching(/1200 ms when no deadline was running/)]);
    });

    it('waits for the latest deadline when one dies while another\'s runs', () => {
      const third = [joined(2, 'w3/1', 's3:1'), shown(11, 'w3/1', '1')];
      const { counts, breaches } = over(1_950, { 's2:1': death('w2', 12, 1_000), 's3:1': death('w3', 900, 1_800) }, third);
      expect(breaches).toEqual([]);
      expect(counts['longestOverdueMs']).toBe(150);
    });

    it('knows until when a session may be held for alive whose name another process takes', () => {
      const taken = { 's2:1': { ...death('w2', 12, 20), latest: death('w2', 12, 1_000).deadline } };
      expect(over(1_300, taken).counts).toMatchObject({ stalls: 1, longestOverdueMs: 300 });
      expect(over(2_100, taken).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/1100 ms when no deadline was running/)]));
    });

    it('does not let one that had acknowledged, or comes too late, excuse it', () => {
      const third = [joined(2, 'w3/1', 's3:1'), ...saw(11, 'w3/1', '1')];
      const dead = { 's2:1': death('w2', 12, 1_000), 's3:1': death('w3', 2_400, 3_300) };
      expect(over(2_900, dead, third).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/1900 ms when no deadline was running/)]));
      // Alive, and not shown anything, until it is killed: the room cannot have waited for its handler.
      expect(over(3_350, dead, third.slice(0, 1)).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/1400 ms when no deadline was running/)]));
    });

    it('says so without a death, too', () => {
      expect(over(1_700, {}).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/no reason/)]));
    });

    it('allows a slow handler its time, and no more', () => {
      expect(over(2_100, {}).breaches).toEqual([]);
      expect(over(3_400, {}).breaches).toEqual([expect.stringMatching(/no reason/)]);
    });

    it('allows a slow handler to end the wait by leaving, and not one that was never shown the message', () => {
      const third = [joined(2, 'w3/1', 's3:1'), shown(11, 'w3/1', '1'), leaving(1_690, 'w3/1')];
      // The dead one's time was over when the message went out.
      const left = { 's2:1': death('w2', -1_000, -300) };
      expect(over(1_700, left, third)).toMatchObject({ breaches: [], counts: { stalls: 0, longestOverdueMs: 10 } });
      expect(over(2_800, left, third).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/stood still/)]));
      const stops = [...third.slice(0, 2), leaving(1_000, 'w3/1', 'stop')];
      expect(over(2_020, left, stops)).toMatchObject({ breaches: [], counts: { longestOverdueMs: 9 } });
      expect(over(3_050, left, stops).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/stood still/)]));
      const unseen = third.filter(({ kind }) => kind !== 'shown');
      expect(over(1_700, left, unseen).breaches).toEqual(expect.arrayContaining([expect.stringMatching(/stood still/)]));
    });

    describe('beyond all that could hold it up', () => {
      const [w1, w2] = [[...TWO, ...saw(11, 'w1/1', '1')], shown(11, 'w2/1', '1')];
      const played = (nextAt: number, entries: typeof TWO, deaths: Parameters<typeof verdictOn>[0]['deaths'] = {}) =>
        verdictOn({ entries: [...entries, ...saw(nextAt + 1, 'w1/1', '2')], releases: [release('1', 10), release('2', nextAt, 5)], deaths, endAt: nextAt + 10 }).breaches;
      const twoShards = [...w1.map((entry) => entry), { ...TWO[1]!, detail: 's2:2 fanout 1' }, ...saw(11, 'w2/1', '1')];
      const onlyW1 = TWO.filter(({ sub }) => sub.startsWith('w1'));

      it.each([
        ['one leaves long after its time was over', played(3_200, [...w1, w2, leaving(3_190, 'w2/1')])],
        ['one acknowledges long after its time was over', played(3_200, [...w1, w2, acked(3_190, 'w2/1', '1')])],
        ['one left, and was killed much later', played(2_410, [...w1, w2, leaving(100, 'w2/1')], { 's2:1': death('w2', 1_500, 2_400) })],
        ['one came meanwhile, and was killed', played(2_510, [...w1, w2, joined(1_500, 'w3/1', 's3:1')], { 's2:1': death('w2', 12, 1_000), 's3:1': death('w3', 1_600, 2_500) })],
        ['the only one left and came again much later', played(5_099, [...onlyW1, ...saw(11, 'w1/1', '1'), leaving(5_000, 'w1/1'), joined(5_100, 'w1/2', 's1:1')])],
        ['one that had acknowledged died in another shard', played(2_410, twoShards, { 's2:2': death('w2', 1_500, 2_400) })],
        ['one that lives was shown it very late', played(2_910, [...w1, ...saw(2_900, 'w2/1', '1')])],
      ])('says so when %s', (_what, breaches) => {
        expect(breaches).toEqual(expect.arrayContaining([expect.stringMatching(/stood still/)]));
      });

      it.each([
        ['one stops, and is shown the message all the same', played(2_020, [...w1, leaving(9, 'w2/1', 'stop'), w2])],
        ['one is stopped before it is heard that it leaves', played(1_300, [...w1, leaving(9, 'w2/1')], { 's2:1': death('w2', 9.5, 1_000) })],
      ])('says nothing when %s', (_what, breaches) => {
        expect(breaches).toEqual([]);
      });
    });

    it('does not count the time in which nobody is left', () => {
      const alone = (nextAt: number) => verdictOn({
        entries: [...TWO.filter(({ sub }) => sub.startsWith('w2')), shown(11, 'w2/1', '1'), joined(3_000, 'w1/1', 's1:1'), ...saw(nextAt + 1, 'w1/1', '2')],
        releases: [release('1', 10), release('2', nextAt, 5)], deaths: { 's2:1': death('w2', 12, 1_000) }, endAt: nextAt + 10,
      });
      const { counts, breaches } = alone(3_050);
      expect(breaches).toEqual([]);
      expect(counts).toMatchObject({ deserted: 1, longestOverdueMs: 50 });
      expect(alone(4_100).breaches).toEqual([expect.stringMatching(/1100 ms when no deadline was running/)]);
    });
  });
});
