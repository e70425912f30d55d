import { setTimeout as sleep } from 'node:timers/promises';
import { Links, cutSubscribers } from '../fanout/links.js';
import { RoomLoad } from '../fanout/load.js';
import { verdictOf } from '../fanout/verdict.js';
import { FanoutWorld } from '../fanout/world.js';
import { neverHappened, type Scenario } from '../scenario.js';

/** Long beside what a broken connection costs: nobody's session ends, so nobody may miss anything. */
const TTL_MS = 5_000;
const ACK_TIMEOUT_MS = 20_000;
const COMMAND_TIMEOUT_MS = 500;
const LONGEST_HOLE_MS = 800;
/**
 * What an acknowledgement may cost: a hole; a deadline for the connection that was in it, and for each of four more that were opened into the next fault, since one worker's
 * faults are about a second apart; and the pauses between tries. A room that stands longer has forgotten somebody.
 */
const IDLE_MS = LONGEST_HOLE_MS + 5 * COMMAND_TIMEOUT_MS + 500;
const WORKERS = 4;
const EVERY_MS = 250;

type Fault = 'cut' | 'subscribers' | 'blackhole' | 'halfOpen';

/** Breaks connections while messages are current. */
class Cuts {
  readonly counts: Record<Fault, number> = { cut: 0, subscribers: 0, blackhole: 0, halfOpen: 0 };
  subscribersCut = 0;
  private readonly holes = new Set<Promise<void>>();

  constructor(private readonly world: FanoutWorld, private readonly links: readonly Links[]) {}

  async go(forMs: number): Promise<void> {
    const { rng, short } = this.world.context;
    const until = performance.now() + forMs;
    // Half-open ones are found out by what goes unanswered, which takes its time: in a short run only at its beginning.
    const first: Fault[] = ['halfOpen', ...rng.shuffle<Fault>(['cut', 'subscribers', 'blackhole'])];
    while (performance.now() < until) {
      await sleep(rng.int(EVERY_MS / 2, 1.5 * EVERY_MS));
      await this.strike(first.shift() ?? rng.pick<Fault>(['cut', 'subscribers', 'blackhole', short ? 'cut' : 'halfOpen']));
    }
    await Promise.all(this.holes);
  }

  private async strike(fault: Fault): Promise<void> {
    const { rng, say } = this.world.context;
    const at = rng.int(0, this.links.length - 1);
    const links = this.links[at]!;
    this.counts[fault]++;
    switch (fault) {
      case 'cut':
        say(`all connections of worker ${at + 1} cut`);
        return links.cut();
      case 'subscribers': {
        const count = await cutSubscribers(this.world.topology);
        this.subscribersCut += count;
        return say(`${count} subscriber connections cut by the server`);
      }
      case 'blackhole': {
        const ms = rng.int(100, LONGEST_HOLE_MS);
        say(`worker ${at + 1} in a black hole for ${ms} ms`);
        links.blackhole(true);
        const hole = sleep(ms).then(() => links.blackhole(false)).finally(() => this.holes.delete(hole));
        this.holes.add(hole);
        return;
      }
      case 'halfOpen':
        say(`all connections of worker ${at + 1} half-open`);
        return links.halfOpen();
    }
  }
}

export const fanoutProxy: Scenario = {
  name: 'fanout-proxy',
  about: 'connections of subscribers cut, black-holed and half-open while messages are current: everybody sees every message, once',
  takesSeconds: 45,
  run: (context) => {
    const { short, rng } = context;
    const seconds = context.seconds ?? (short ? 3 : 30);
    const options = { rooms: short ? 8 : 30, ttlMs: TTL_MS, ackTimeoutMs: ACK_TIMEOUT_MS, commandTimeoutMs: COMMAND_TIMEOUT_MS, idleMs: IDLE_MS, mischief: { acks: 100, stalls: 0, throws: 0, churn: false } };
    return FanoutWorld.with(context, options, async (world) => {
      const links = await Promise.all(Array.from({ length: WORKERS }, (_, i) => Links.start(world.topology, context.seed + 10 * i)));
      try {
        const places = world.rooms.map((room) => ({ room, sync: 2, async: 0, plain: true }));
        await Promise.all(links.map(({ connection }) => world.spawn(places, { connection })));
        const load = new RoomLoad(world, { perRoom: Infinity, forMs: seconds * 1_000, rng: rng.fork(), mixed: new Set() });
        const cuts = new Cuts(world, links);
        await cuts.go(seconds * 1_000);
        await load.done();
        const { verdict, breaches } = await verdictOf(world, load, new Set());
        const expected = load.count * WORKERS * 2;
        const all = [...breaches];
        if (verdict['shown'] !== expected) all.push(`${String(verdict['shown'])} messages shown, expected ${load.count} to each of ${WORKERS * 2} subscribers: ${expected}`);
        if (verdict['ejected'] !== 0) all.push(`${String(verdict['ejected'])} live subscribers were ejected`);
        const { old, foreign, twice, late } = world.deeds;
        all.push(...neverHappened({ old, foreign, twice, late }));
        const { cut, subscribers, blackhole, halfOpen } = cuts.counts;
        const broken = links.reduce((sum, link) => sum + link.cuts, 0);
        if (broken + cuts.subscribersCut === 0) all.push('no connection was broken');
        return { verdict: { ...verdict, expected, cutRounds: cut, subscriberRounds: subscribers, blackholes: blackhole, halfOpenRounds: halfOpen, connectionsBroken: broken, subscribersCut: cuts.subscribersCut }, breaches: all };
      } finally {
        await Promise.all(links.map((link) => link.stop()));
      }
    });
  },
};
