import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume, makeConsumer } from './support/consumer.js';
import { InvalidOptionsError } from './support/engine.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained } from './support/state.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const sorted = (runs: Runs): unknown[] => runs.data.toSorted((a, b) => Number(a) - Number(b));
const kept = async (world: World, queue: string, shards?: number): Promise<number[]> => (await storedIn(world, queue, shards)).map(({ fields }) => Number(fields['data'])).sort((a, b) => a - b);

onTopologies(BOTH, 'several groups', (world) => {
  it('each gets every message, and a message is deleted when all have settled it', async () => {
    const queue = await world().queue();
    const [a, b, c] = [new Runs(), new Runs(), new Runs()];
    await consume(world(), queue, a.handler(), { group: 'a' });
    await consume(world(), queue, b.handler(), { group: 'b' });
    await consume(world(), queue, c.handler(({ attempt }) => { if (attempt === 1) throw new Error('once'); }), { group: 'c', retry: { initialMs: 5 } });
    const producer = world().client.queue(queue);
    await Promise.all(numbers(300).map((n) => producer.send(n)));
    await drained(world(), queue, { groups: ['a', 'b', 'c'] });
    expect([sorted(a), sorted(b)]).toEqual([numbers(300), numbers(300)]);
    expect(c.contexts).toHaveLength(600);
    expect(new Set(c.data).size).toBe(300);
  });
});

onTopologies(['standalone'], 'several groups of a queue', (world) => {
  it('what one of them has yet to settle is kept, whatever the others do', async () => {
    const queue = await world().queue();
    const held = gate();
    const [a, b] = [new Runs(), new Runs()];
    await consume(world(), queue, a.handler(), { group: 'a' });
    await consume(world(), queue, b.handler(({ data }) => (data === 3 ? held.opened : undefined)), { group: 'b', prefetch: 16 });
    await world().client.queue(queue).sendMany(numbers(10).map((data) => ({ data })));
    await waitUntil(() => a.contexts.length === 10 && b.contexts.length === 10, { what: 'all are handled, 3 is not done' });
    await waitUntil(async () => (await kept(world(), queue))[0] === 3, { what: 'what is before it is deleted' });
    expect(await kept(world(), queue)).toContain(3);
    held.open();
    await drained(world(), queue, { groups: ['a', 'b'] });
  });

  it('one that comes later begins with what is there, or with what is sent from then on', async () => {
    const queue = await world().queue();
    const hold = gate();
    await consume(world(), queue, () => hold.opened, { group: 'first', concurrency: 4 });
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(5).map((data) => ({ data })));
    const [early, late] = [new Runs(), new Runs()];
    await consume(world(), queue, early.handler(), { group: 'early' });
    await consume(world(), queue, late.handler(), { group: 'late', startFrom: 'latest' });
    await early.calls(5);
    await producer.sendMany(numbers(5, 5).map((data) => ({ data })));
    hold.open();
    await drained(world(), queue, { groups: ['first', 'early', 'late'] });
    expect([sorted(early), sorted(late)]).toEqual([numbers(10), numbers(5, 5)]);
  });

  it('removeGroup: refused while it has consumers; then what only it kept goes, and nothing that another wants', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    const hold = gate();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(({ data }) => (Number(data) % 100 === 7 ? hold.opened : undefined)), { group: 'a', concurrency: 16, prefetch: 64 });
    const gone = await consume(world(), queue, () => hold.opened, { group: 'gone' });
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(350).map((data) => ({ data })));
    const refused = await failure(a.client.removeGroup(queue, 'gone'));
    expect(refused).toBeInstanceOf(InvalidOptionsError);
    expect(refused.message).toContain('1 live consumers');
    await waitUntil(async () => (await a.client.stats(queue, 'a')).pending === 4 && runs.contexts.length === 350, { what: 'a has settled all but four' });
    await gone.stop();
    expect(await world().cli(['XLEN', messages])).toBe(350);
    await a.client.removeGroup(queue, 'gone');
    expect(await kept(world(), queue)).toEqual([7, 107, 207, 307]);
    expect((await a.client.stats(queue, 'a')).groups).toEqual(['a']);
    expect((await world().allKeys()).filter((key) => key.endsWith(':gone'))).toEqual([]);
    hold.open();
    await drained(world(), queue, { groups: ['a'] });
    expect(sorted(runs)).toEqual(numbers(350));
  });

  it('removeGroup, with several left: they go on, and what all of them have settled goes', async () => {
    const queue = await world().queue();
    const [a, b] = [new Runs(), new Runs()];
    const first = makeConsumer(world(), queue, () => undefined, { group: 'gone' });
    await first.engine.start();
    await first.stop();
    await consume(world(), queue, a.handler(), { group: 'a' });
    await consume(world(), queue, b.handler(), { group: 'b' });
    await world().client.queue(queue).sendMany(numbers(20).map((data) => ({ data })));
    await waitUntil(() => a.contexts.length === 20 && b.contexts.length === 20, { what: 'both have handled all' });
    const settled = async (group: string): Promise<boolean> => (await world().client.stats(queue, group)).pending === 0;
    await waitUntil(async () => (await settled('a')) && (await settled('b')), { what: 'and settled it' });
    expect((await kept(world(), queue))).toEqual(numbers(20));
    await world().client.removeGroup(queue, 'gone');
    expect(await kept(world(), queue)).toEqual([]);
    await world().client.removeGroup(queue, 'gone'); // nothing to do
    await world().client.removeGroup(queue, 'never');
  });
});
