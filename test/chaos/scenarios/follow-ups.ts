import { setTimeout as sleep } from 'node:timers/promises';
import { START, tokensGoneBack } from '../judge.js';
import type { Scenario } from '../scenario.js';
import { World } from '../world.js';

const STREAMS = 10;

/**
 * Few streams, announced over and over while they are owned, on processes that nothing happens to. The end of one
 * run lets the next begin, often on another consumer and often in the very packet that carries the answer to
 * `done()`; an owner must neither take its own end for a loss nor begin before the other has ended.
 *
 * "Before" is told by the ledger alone: a handler's effect is recorded, and confirmed, before its `done()` is
 * sent. So with nobody dying a later grant's `start` can never come before the earlier grant's effect.
 */
export const followUps: Scenario = {
  name: 'follow-ups',
  about: 'streams announced again and again while owned: one owner at a time, no loss reported where there is none',
  takesSeconds: 35,
  run: (context) => World.with(context, { ttlMs: 3_000 }, async (world) => {
    const seconds = context.seconds ?? (context.short ? 4 : 30);
    await world.spawn(3);
    const announcer = world.announcer(world.connection);
    const until = performance.now() + seconds * 1_000;
    let announced = 0;
    while (performance.now() < until) {
      const batch = Array.from({ length: 4 * STREAMS }, (_, i) => announcer.leases().announce(world.service, `again-${i % STREAMS}`, { workMs: 0 }));
      announced += (await Promise.all(batch)).filter(({ status }) => status === 'announced').length;
      await sleep(context.rng.int(0, 3));
    }
    await world.drained();
    world.sync();
    const acks = (): number => world.ledger.events.filter(({ kind }) => kind === 'ack').length;
    await world.until('the ledger heard of all', () => acks() === world.runs.length);
    const overlaps = overlapping(world);
    const losses = world.reported('aborted');
    const back = tokensGoneBack(world.ledger.events);
    const breaches: string[] = [];
    if (overlaps.length > 0) breaches.push(`${overlaps.length} runs began before the one before had ended: ${overlaps.slice(0, 3).join('; ')}`);
    if (losses.length > 0) breaches.push(`${losses.length} leases were reported lost (${losses[0]?.reason}) though every process lived`);
    if (back.length > 0) breaches.push(`tokens went back: ${back.slice(0, 3).join('; ')}`);
    if (world.runs.length === 0) breaches.push('nothing ran');
    return { verdict: { announced, runs: world.runs.length, completed: acks(), overlaps: overlaps.length, losses: losses.length, tokensGoneBack: back.length }, breaches };
  }),
};

function overlapping(world: World): string[] {
  const open = new Map<string, Set<number>>();
  const found: string[] = [];
  for (const { kind, id, resource, token } of world.ledger.events) {
    if (kind !== 'effect') continue;
    const tokens = open.get(resource) ?? new Set<number>();
    open.set(resource, tokens);
    if (id !== START) tokens.delete(Number(token));
    else {
      if (tokens.size > 0) found.push(`${resource}: ${token} beside ${[...tokens].join(' ')}`);
      tokens.add(Number(token));
    }
  }
  return found;
}
