import { type Scenario, within } from '../scenario.js';
import { World } from '../world.js';

const WITHIN_MS = 2_000;
const TTL_MS = 2_000;

/**
 * One owner holds thousands of leases and is killed; two survivors must run them all soon after its deadline.
 * Its deadline is read as in `takeover`; the end is the latest first reading of the clock by any handler.
 */
export const takeoverMany: Scenario = {
  name: 'takeover-many',
  about: '10,000 leases of one killed owner, all running on two survivors within 2 s of its deadline',
  takesSeconds: 15,
  run: (context) => {
    const leases = context.short ? 2_000 : 10_000;
    const allowedMs = within(context, WITHIN_MS);
    return World.with(context, { ttlMs: TTL_MS, worker: { quiet: true, ledgerPort: undefined } }, async (world) => {
      const [owner] = await world.spawn(1);
      if (!owner) throw new Error('no owner');
      await Promise.all(Array.from({ length: leases }, (_, i) => world.announce(`many-${i}`)));
      await world.until('the owner holds them all', async () => (await owner.ask({ type: 'tally' }, 'tallied')).held === leases, 60_000, 100);
      const survivors = await world.spawn(2);
      await owner.kill();
      let deadline = await world.deadlineOf(owner.session);
      context.say(`SIGKILL of the owner of ${leases} leases`);
      const tallies = () => Promise.all(survivors.map((survivor) => survivor.ask({ type: 'tally' }, 'tallied')));
      await world.until('survivors hold them all', async () => {
        deadline = (await world.deadlineOf(owner.session)) ?? deadline;
        if (world.now() < (deadline ?? 0)) return false;
        return (await tallies()).reduce((sum, { held }) => sum + held, 0) === leases;
      }, 60_000, 100);
      const final = await tallies();
      const lateMs = Math.max(...final.map(({ lastRunAt }) => lastRunAt)) - (deadline ?? Infinity);
      const runs = final.reduce((sum, tally) => sum + tally.runs, 0);
      const breaches = [];
      if (!(lateMs <= allowedMs)) breaches.push(`the last of ${leases} leases ran ${lateMs} ms past the deadline (allowed ${allowedMs})`);
      if (runs !== leases) breaches.push(`${runs} handler runs for ${leases} taken over leases`);
      return { verdict: { leases, lastMsPastDeadline: lateMs, allowedMs, runs, heldPerSurvivor: final.map(({ held }) => held) }, breaches };
    });
  },
};
