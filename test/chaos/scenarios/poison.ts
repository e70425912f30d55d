import { Redis } from 'ioredis';
import { breachesOf, judge } from '../judge.js';
import { MALFORMED } from '../malformed.js';
import { type Scenario, within } from '../scenario.js';
import { World } from '../world.js';

const STALL_MS = 100;

/** Only id and reason leave the server: the letters themselves hold gigabytes. */
const REASONS = `local out, from = {}, '-'
while true do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', '8')
  if #page == 0 then return out end
  for _, letter in ipairs(page) do
    local seen = {}
    for i = 1, #letter[2], 2 do seen[letter[2][i]] = seen[letter[2][i]] or letter[2][i + 1] end
    out[#out + 1] = { seen.entryId or '?', seen.reason or '?' }
    from = '(' .. letter[1]
  end
end`;

/** Writes good and malformed announcements in random order, as any client could: by plain XADD. */
async function write(world: World, good: number, bad: number): Promise<Map<string, number>> {
  const { rng } = world.context;
  const redis = new Redis(world.server.port, '127.0.0.1');
  const kindOf = new Map<string, number>();
  try {
    const order = rng.shuffle([...Array.from({ length: good }, (_, i) => i), ...Array.from({ length: bad }, (_, i) => -1 - i)]);
    let sent: Promise<unknown>[] = [];
    for (const n of order) {
      const kind = (-n - 1) % MALFORMED.length;
      const fields = n >= 0 ? ['lbs-input', `{"DataStreamName":"good-${n}","Info":{"workMs":0}}`] : (MALFORMED[kind]?.fields(`bad-${-n}`, rng) ?? []);
      if (n >= 0) world.ledger.record('sent', { resource: `good-${n}` });
      sent.push(redis.call('XADD', world.lbs, '*', ...fields).then((id) => n < 0 && kindOf.set(String(id), kind)));
      if (sent.length >= 200) {
        await Promise.all(sent);
        sent = [];
      }
    }
    await Promise.all(sent);
  } finally {
    redis.disconnect();
  }
  return kindOf;
}

export const poison: Scenario = {
  name: 'poison',
  about: '1,000 malformed announcements among 10,000 good: all good complete, all bad are dead letters, no stall above 100 ms',
  takesSeconds: 10,
  run: (context) => World.with(context, { ttlMs: 5_000, worker: { quiet: true } }, async (world) => {
    const [good, bad] = context.short ? [1_000, 110] : [10_000, 1_000];
    const kindOf = await write(world, good, bad);
    context.say(`${good} good and ${bad} malformed announcements wait`);
    const startedAt = performance.now();
    await world.spawn(3);
    await world.drained(120_000);
    const ms = performance.now() - startedAt;
    await world.until('the ledger heard of all', () => judge(world.ledger.events).acks === good).catch(() => undefined);
    const letters = (await world.cli('EVAL', REASONS, 1, world.key('dead'))) as Array<[string, string]>;
    const breaches = breachesOf(judge(world.ledger.events));
    const byReason: Record<string, number> = {};
    let wrong = 0;
    for (const [id, reason] of letters) {
      byReason[reason] = (byReason[reason] ?? 0) + 1;
      const kind = MALFORMED[kindOf.get(id) ?? -1];
      if (kind?.reasons.includes(reason)) continue;
      if (wrong++ < 3) breaches.push(`the dead letter of ${id} (${kind?.kind ?? 'a good one'}) gives the reason "${reason}"`);
    }
    const found = new Set(letters.map(([id]) => id));
    const missing = [...kindOf].filter(([id]) => !found.has(id));
    if (missing.length > 0) breaches.push(`${missing.length} malformed announcements are not among the dead letters: ${missing.slice(0, 3).map(([, kind]) => MALFORMED[kind]?.kind).join(', ')}`);
    const stalls = await Promise.all(world.consumers.map(async (consumer) => (await consumer.ask({ type: 'stall' }, 'stalled')).maxMs));
    const stallMs = Math.max(...stalls);
    const stallAllowedMs = within(context, STALL_MS);
    if (stallMs > stallAllowedMs) breaches.push(`an event loop stalled for ${stallMs.toFixed(0)} ms (allowed ${stallAllowedMs})`);
    const ended = world.consumers.filter(({ process }) => !process.running);
    const unhandled = world.reported('unhandled');
    if (ended.length > 0) breaches.push(`${ended.length} processes ended: ${ended[0]?.process.output().slice(-500)}`);
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]?.message}`);
    context.say(`all handled ${ms.toFixed(0)} ms after the consumers' start; worst stall ${stallMs.toFixed(0)} ms`);
    return { verdict: { ...judge(world.ledger.events), malformed: bad, deadLetters: letters.length, wrongReason: wrong, missing: missing.length, stallMsMax: Math.round(stallMs), stallAllowedMs, handledMs: Math.round(ms), byReason }, breaches };
  }),
};
