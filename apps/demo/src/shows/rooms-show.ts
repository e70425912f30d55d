import { RoomJournal } from '../rooms/journal.js';
import { judge, type RoomJudgement } from '../rooms/judge.js';
import { Pulse } from '../rooms/pulse.js';
import { RoomStage } from '../rooms/room-stage.js';
import { renderRooms } from '../rooms/rooms-table.js';
import { ACK_TIMEOUT_MS, ROOMS } from '../rooms/room.js';
import type { RoomScenario } from '../scenarios/scenario.js';
import type { Kept, Setting } from '../supervisor/scene.js';
import { sweep } from '../supervisor/sweep.js';
import { endedWell, type Verdict } from '../supervisor/verdict.js';
import { count, say, seconds } from '../ui/lines.js';
import type { Show } from './show.js';

const IN_WITHIN_MS = 10_000;
const INSTANCES = ['a', 'b'] as const;
/** The one that stops; see the scenario. */
const EJECTED_CLIENTS = 1;

/** Web sockets in rooms, on API instances, moved by a ticker. */
export class RoomsShow implements Show {
  readonly producer = 'ticker';
  readonly consumer = 'gateway';
  readonly noun = 'acknowledgement';
  readonly drainMs = 5_000;
  readonly scene: RoomStage;
  private readonly journal = new RoomJournal();
  private readonly pulse: Pulse;

  constructor(setting: Setting, private readonly scenario: RoomScenario) {
    this.scene = new RoomStage(setting, this.journal);
    this.pulse = new Pulse(this.scene);
  }

  /** There is no ledger to read: clients are in this process. */
  async follow(): Promise<void> {}

  async open(): Promise<void> {
    const { scene, scenario } = this;
    const { consumers, rate, ttlMs } = scene.options;
    say('demo', scenario.name, '', scenario.about);
    say('demo', 'rooms', '', `${ROOMS.join(', ')}: ${consumers} clients each, up to ${rate} ticks/s; who does not acknowledge within ${seconds(ACK_TIMEOUT_MS)} is ejected; session ttl ${seconds(ttlMs)}`);
    await Promise.all(INSTANCES.map((name) => scene.startInstance(name)));
    for (const room of ROOMS) for (let i = 0; i < consumers; i++) scene.addClient(`${room}-${i + 1}`, room, INSTANCES[i % INSTANCES.length] ?? 'a');
    const inside = await scene.until(() => scene.clients.every((client) => client.isIn), IN_WITHIN_MS);
    scene.promise(`${scene.clients.length} clients joined ${ROOMS.length} rooms over ${INSTANCES.length} instances before the first tick`, inside);
    for (const name of INSTANCES) {
      const { subscribers, subscribedRooms } = await scene.metrics(name);
      say(name, 'rooms', '', `${count(subscribers, 'web socket')} in ${count(subscribedRooms, 'room')}: ${count(subscribedRooms, 'subscription')} at Redis, and one acknowledgement per tick and room`);
    }
    this.pulse.start();
    await scene.startTicker();
  }

  play(): Promise<void> {
    return this.scenario.play(this.scene);
  }

  /** Clients that have not acknowledged their room's last tick. */
  async left(): Promise<number> {
    return this.scene.clients.filter((client) => client.stay && client.isIn && !client.stay.acked.has(this.scene.lastTick(client.room))).length;
  }

  async finish(): Promise<void> {
    this.pulse.close();
  }

  async table(): Promise<string> {
    return renderRooms({ clients: this.scene.clients, journal: this.journal, fates: this.scene.fates() });
  }

  async judge(interrupted: boolean): Promise<Verdict> {
    const { scene, scenario, journal } = this;
    const found = judge(journal);
    const { figures, ejectedClients, ejectedInstances, early, missed, disordered, repeats, problems } = found;
    const closing = {
      ...figures, early, missed, disordered, repeats,
      ejectedClients: ejectedClients.length, ejectedInstances: ejectedInstances.length,
      reconnects: scene.clients.reduce((sum, { reconnects }) => sum + Math.max(0, reconnects), 0),
      urgent: journal.urgent.length, urgentMs: journal.urgent.reduce((max, { at, seenAt }) => Math.max(max, seenAt - at), 0),
    };
    return {
      scenario: scenario.name,
      promises: [...scene.promises, ...common(found, scene.takeoverBoundMs, interrupted), endedWell(scene.cast.surprises)],
      interrupted, figures: closing, problems, closing,
    };
  }

  sweep(): Promise<void> {
    return sweep(this.scene.server.url, `{fanout:${this.scene.service}:*`);
  }

  async close(): Promise<void> {
    this.pulse.close();
    for (const client of this.scene.clients) client.close();
  }
}

/** What every run promises of its rooms, whatever else it shows. */
function common({ figures, early, missed, disordered, ejectedClients }: RoomJudgement, boundMs: number, interrupted: boolean): Kept[] {
  const { ticks, deliveries, longestStallMs } = figures;
  return [
    { promise: `no tick was shown before all live clients of its room had acknowledged the one before (${early} of ${ticks})`, ok: early === 0 && (interrupted || ticks > 0) },
    { promise: `every live client was shown every tick (${missed} missed, ${deliveries} shown)`, ok: missed === 0 },
    { promise: `all clients of a room were shown the same ticks in the same order (${disordered} were not)`, ok: disordered === 0 },
    { promise: `nobody was ejected who acknowledged (${ejectedClients.length === 0 ? 'nobody was' : `ejected: ${ejectedClients.join(', ')}`})`, ok: interrupted ? ejectedClients.length <= EJECTED_CLIENTS : ejectedClients.length === EJECTED_CLIENTS },
    { promise: `no room stood still for longer than ${seconds(boundMs)} (${seconds(longestStallMs)})`, ok: longestStallMs <= boundMs },
  ];
}
