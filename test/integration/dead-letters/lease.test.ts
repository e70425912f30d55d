import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { shaOf } from '../support/cutter.js';
import { gate } from '../support/handlers.js';
import { cutter } from './support/cut.js';
import type { StreamLease } from './support/engine.js';
import { BOTH, lettersOf, type Node, onTopologies, type World } from './support/world.js';

/** A service whose handler fails until told otherwise. */
async function service(world: World, body: (lease: StreamLease) => unknown = () => undefined): Promise<{ name: string; node: Node; done: string[]; mend(): void; breakAgain(): void }> {
  const name = world.fresh('orders');
  const node = world.node();
  const done: string[] = [];
  let broken = true;
  node.engine.addLeaseConsumer({ service: name, maxAttempts: 1 }, {
    assigned: async (lease) => {
      await body(lease);
      if (broken) throw new RangeError(`cannot handle ${lease.stream}`);
      done.push(lease.stream);
    },
  });
  await node.engine.start();
  return { name, node, done, mend: () => void (broken = false), breakAgain: () => void (broken = true) };
}

const leases = (name: string) => ({ kind: 'lease', service: name }) as const;

onTopologies(BOTH, 'dead letters of leases', (world) => {
  it('are listed with what is known, replayed by whoever asks, and handled from the checkpoint on', async () => {
    const seen: Array<string | undefined> = [];
    const { name, node, done, mend } = await service(world(), async (lease) => {
      seen.push(lease.lastCheckpoint);
      if (seen.length === 1) await lease.checkpoint('5-0');
    });
    await node.engine.leases().announce(name, 's', { tenant: 7 });
    await lettersOf(node, leases(name), 1);
    const desk = world().node();
    const { letters, next } = await desk.letters.list(leases(name));
    expect(next).toBeUndefined();
    expect(letters).toMatchObject([{
      kind: 'lease', entryId: expect.stringMatching(/^0:\d+-\d+$/), reason: 'max-attempts', error: expect.stringContaining('cannot handle s'), attempts: 1, key: 's', data: { tenant: 7 }, readable: true, headers: {},
      details: { stream: 's', failures: 1, checkpoint: '5-0', owner: expect.stringContaining(':') },
    }]);
    const [letter] = letters;
    expect(Math.abs(letter!.at - Date.now())).toBeLessThan(10_000);
    expect(await desk.letters.get(leases(name), letter!.entryId)).toEqual(letter);
    // Of a source with one shard the id alone will do, as the stream itself shows it.
    expect(await desk.letters.get(leases(name), letter!.entryId.slice(2))).toEqual(letter);
    mend();
    expect(await desk.letters.replay(leases(name), letter!.entryId, { by: 'alice' })).toEqual({ replayed: 1, skipped: [] });
    await waitUntil(() => done.length === 1, { what: 'it is handled' });
    expect(seen).toEqual([undefined, '5-0']);
    expect(await desk.letters.count(leases(name))).toBe(0);
    expect(await desk.letters.get(leases(name), letter!.entryId)).toBeUndefined();
    expect(desk.all('deadLetters.replayed')).toEqual([{ type: 'deadLetters.replayed', kind: 'lease', source: name, by: 'alice', replayed: 1, skipped: 0 }]);
    expect(await desk.letters.replay(leases(name), [letter!.entryId])).toEqual({ replayed: 0, skipped: [{ entryId: letter!.entryId, reason: 'gone' }] });
  });

  it('one whose stream is open already stays, also when another of its letters has just gone back', async () => {
    const { name, node, done, mend } = await service(world());
    for (let n = 1; n <= 2; n++) {
      await node.engine.leases().announce(name, 's', { n });
      await lettersOf(node, leases(name), n);
    }
    const [newer, older] = (await node.letters.list(leases(name))).letters;
    // Nobody to take it: it stays announced.
    await node.engine.stop();
    mend();
    const desk = world().node();
    expect(await desk.letters.replay(leases(name), {})).toEqual({ replayed: 1, skipped: [{ entryId: newer!.entryId, reason: 'already-open' }] });
    expect(await desk.letters.replay(leases(name), newer!.entryId)).toEqual({ replayed: 0, skipped: [{ entryId: newer!.entryId, reason: 'already-open' }] });
    expect((await desk.letters.list(leases(name))).letters).toEqual([newer]);
    expect(older!.data).toEqual({ n: 1 });
    // It is announced as an announcer would have announced it: another announcement is absorbed.
    expect(await desk.engine.leases().announce(name, 's')).toMatchObject({ status: 'duplicate' });
    expect(done).toEqual([]);
  });

  it('an owned stream is open: its letter waits until it is done', async () => {
    const running = gate();
    let calls = 0;
    const { name, node, done, mend } = await service(world(), async () => {
      if (++calls === 2) await running.opened;
    });
    await node.engine.leases().announce(name, 's');
    await lettersOf(node, leases(name), 1);
    mend();
    await node.engine.leases().announce(name, 's');
    await waitUntil(() => calls === 2, { what: 'it runs' });
    expect(await node.letters.replay(leases(name), {})).toMatchObject({ replayed: 0, skipped: [{ reason: 'already-open' }] });
    running.open();
    await waitUntil(() => done.length === 1, { what: 'it is done' });
    await waitUntil(async () => (await node.letters.replay(leases(name), {})).replayed === 1, { what: 'it went back' });
    await waitUntil(() => done.length === 2, { what: 'it is handled again' });
  });

  it('what no consumer can read is listed, is not put back, and goes when it is purged', async () => {
    const { name, node, mend, done } = await service(world());
    const lbs = `${name}-input`;
    await world().cli(['XADD', lbs, '*', 'lbs-input', '{broken']);
    await world().cli(['XADD', lbs, '*', 'something', 'else', 'reason', 'forged']);
    await node.engine.leases().announce(name, 's');
    await lettersOf(node, leases(name), 3);
    const { letters } = await node.letters.list(leases(name), { order: 'oldest', filter: { where: ({ readable }) => !readable } });
    expect(letters.map(({ reason, key, data }) => [reason, key, data]).toSorted()).toEqual([['invalid-json', undefined, undefined], ['missing-field', undefined, undefined]]);
    expect(letters.map(({ fields }) => fields['entry.lbs-input'] ?? fields['entry.something']).toSorted()).toEqual(['else', '{broken']);
    mend();
    const { replayed, skipped } = await node.letters.replay(leases(name), {});
    expect([replayed, skipped.map(({ reason }) => reason)]).toEqual([1, ['unreadable', 'unreadable']]);
    await waitUntil(() => done.length === 1, { what: 'the sound one is handled' });
    expect(await node.letters.count(leases(name))).toBe(2);
    expect(await node.letters.purge(leases(name), skipped.map(({ entryId }) => entryId), { by: 'bob' })).toBe(2);
    expect(await node.letters.count(leases(name))).toBe(0);
    expect(node.all('deadLetters.purged')).toMatchObject([{ kind: 'lease', source: name, purged: 2, by: 'bob' }]);
  });
});

onTopologies(['standalone'], 'dead letters of leases, lost answers', (world) => {
  it('a replay whose answer is lost has neither lost nor doubled anything, and says what it did', async () => {
    const { name, node, done, mend } = await service(world());
    const streams = Array.from({ length: 40 }, (_, i) => `s${i}`);
    await node.engine.leases().announceMany(name, streams.map((stream) => ({ stream })));
    await lettersOf(node, leases(name), 40);
    const proxy = await cutter(world());
    const desk = world().node({ connection: { url: proxy.url } });
    await desk.letters.count(leases(name));
    mend();
    proxy.cutAfter(shaOf('lease-replay'));
    expect(await desk.letters.replay(leases(name), {})).toEqual({ replayed: 40, skipped: [] });
    expect(proxy.cuts).toBe(1);
    await waitUntil(() => done.length >= 40, { what: 'all are handled' });
    await waitUntil(async () => Number(await world().cli(['XLEN', `${name}-input`])) === 0, { what: 'nothing is open' });
    expect(done.toSorted()).toEqual(streams.toSorted());
    expect(await desk.letters.count(leases(name))).toBe(0);
  });
});
