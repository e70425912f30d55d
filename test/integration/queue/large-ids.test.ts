import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compareStreamIds } from '../../../libs/redis-streams/dist/kernel/stream-id.js';
import { createRng } from '../../support/seed.js';
import { failure } from '../support/failure.js';
import { consume } from './support/consumer.js';
import { numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained } from './support/state.js';
import { onTopologies } from './support/world.js';

const LAST = 2n ** 64n - 1n;
const lua = (file: string): string => readFileSync(new URL(`../../../libs/redis-streams/src/scripts/lua/include/${file}.lua`, import.meta.url), 'utf8');
/** Where numbers grow a digit, where doubles and our parts end, and where all ends. */
const EDGES = [0n, 1n, 9n, 10n, 10n ** 15n, 10n ** 16n, 2n ** 53n, 10n ** 19n, 1_700_000_000_000n, LAST]
  .flatMap((n) => [n - 2n, n - 1n, n, n + 1n, n + 2n]).filter((n) => n >= 0n && n <= LAST);

function before(id: string): string {
  const [ms, seq] = id.split('-').map(BigInt) as [bigint, bigint];
  if (seq > 0n) return `${ms}-${seq - 1n}`;
  return ms > 0n ? `${ms - 1n}-${LAST}` : id;
}

function next(id: string): string {
  const [ms, seq] = id.split('-').map(BigInt) as [bigint, bigint];
  if (seq < LAST) return `${ms}-${seq + 1n}`;
  return ms < LAST ? `${ms + 1n}-0` : id;
}

onTopologies(['standalone'], 'ids of any size', (world) => {
  it('scripts count and compare them as the server does', async () => {
    const rng = createRng(1);
    const half = (): bigint => (rng.next() < 0.7 ? rng.pick(EDGES) : BigInt(`${rng.int(0, 17)}${String(rng.int(0, 1e9)).padStart(9, '0')}${String(rng.int(0, 1e9 - 1)).padStart(9, '0')}`));
    const ids = [...EDGES.flatMap((ms) => [0n, 1n, 10n ** 15n - 1n, 10n ** 15n, 2n ** 53n, LAST - 1n, LAST].map((seq) => `${ms}-${seq}`)), ...numbers(2_000).map(() => `${half()}-${half()}`)];
    const source = `${lua('int')}${lua('ids')}local out = {} for i = 1, #ARGV, 2 do
      out[#out + 1] = id_before(ARGV[i]) .. ' ' .. id_next(ARGV[i]) .. ' ' .. tostring(id_after(ARGV[i], ARGV[i + 1])) end return out`;
    for (let i = 0; i < ids.length; i += 500) {
      const pairs = ids.slice(i, i + 500).map((id) => [id, rng.pick([id, next(id), before(id), rng.pick(ids)])] as const);
      const replies = await world().cli(['EVAL', source, 0, ...pairs.flat()]);
      expect(replies).toEqual(pairs.map(([a, b]) => `${before(a)} ${next(a)} ${compareStreamIds(a, b) > 0}`));
    }
  });

  /** An empty stream, of which this id was given last. */
  async function setTo(queue: string, last: string): Promise<void> {
    const { messages } = keysOf(queue);
    await world().cli(['XADD', messages, '1-1', 'data', '"first"']);
    await world().cli(['XTRIM', messages, 'MAXLEN', 0]);
    await world().cli(['XSETID', messages, last]);
  }

  it.each(['99999999999999-1000000000000000', '99999999999999-999999999999990', '99999999999999-9007199254740985', '9999999999999999999-18446744073709551600', '9007199254740993-3', `${LAST}-${LAST - 20n}`]
    .flatMap((last) => [[last, 1], [last, 3]] as const))('a stream set to %s, prefetch %i: each message is handled, also what is to be delivered again or lies beyond one that is held, and nothing is left', async (last, prefetch) => {
    const queue = await world().queue();
    await setTo(queue, last);
    const sent = await world().client.queue(queue).sendMany(numbers(20).map((data) => ({ data })));
    expect((await storedIn(world(), queue)).map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
    const runs = new Runs();
    await consume(world(), queue, runs.handler(({ data }, n) => {
      if (Number(data) % 3 === 2 && n === 1) throw new Error('once');
    }), { prefetch, concurrency: prefetch, retry: { initialMs: 20, maxMs: 20 } });
    await drained(world(), queue);
    for (const data of numbers(20)) expect(runs.ofData(data), String(data)).toHaveLength(data % 3 === 2 ? 2 : 1);
  });

  it.each([
    ['data alone', {}], ['headers', { headers: { a: '1' } }], ['ids', { id: 'i' }], ['keys and ids', { key: 'k', id: 'i' }],
  ] as const)('a stream that runs out of ids amidst a batch of messages with %s: a send resolves if and only if it is stored', async (_, options) => {
    const queue = await world().queue();
    await setTo(queue, `${LAST}-${LAST - 5n}`);
    const producer = world().client.queue(queue);
    const send = (n: number): Promise<unknown> => producer.send(n, { ...options, ...('id' in options && { id: `i${n}` }) });
    const settled = await Promise.allSettled(numbers(10).map((n) => send(n)));
    const resolved = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const stored = await storedIn(world(), queue);
    expect(stored.map(({ fields }) => Number(fields['data']))).toEqual(numbers(5));
    expect(resolved).toEqual(stored.map(({ id }) => ({ shard: 0, id, duplicate: false })));
    for (const each of settled.slice(5)) expect(String((each as PromiseRejectedResult).reason)).toMatch(/was not stored: .* run out of entry ids/);
    // What was not stored is nothing that another one could repeat.
    expect(await failure(send(7))).toBeInstanceOf(Error);
    if ('id' in options) expect(await send(2)).toEqual({ shard: 0, id: stored[2]!.id, duplicate: true });
    expect(await storedIn(world(), queue)).toHaveLength(5);
  });

  it.each([{}, { key: 'k' }])('a stream that runs out of ids while delayed messages %o join: those that have joined do so once, the others wait', async (options) => {
    const queue = await world().queue();
    await setTo(queue, `${LAST}-${LAST - 5n}`);
    await world().client.queue(queue).sendMany(numbers(12).map((data) => ({ data, ...options, delayMs: 1 })));
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler());
    await runs.calls(5);
    await a.saw('session.renewed', a.all('session.renewed').length + 3);
    expect(new Set(runs.data).size).toBe(5);
    expect(runs.data).toHaveLength(5);
    expect(await world().cli(['ZCARD', keysOf(queue).delayed])).toBe(7);
    expect(a.errors.map(({ message }) => message)).toContainEqual(expect.stringContaining('exhausted'));
    await a.stop();
    expect(runs.data).toHaveLength(5);
  });
});
