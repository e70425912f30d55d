import { gapsOf } from '../rooms/judge.js';
import { type RoomClient, SLOW_MS } from '../rooms/room-client.js';
import type { RoomStage } from '../rooms/room-stage.js';
import { ACK_TIMEOUT_MS, ROOMS } from '../rooms/room.js';
import { say, seconds } from '../ui/lines.js';
import type { RoomScenario } from './scenario.js';

const FEWEST = 4;
/** For what needs no deadline to pass, on a machine that has other things to do. */
const SOON_MS = 3_000;
const URGENT_MS = 250;

export const rooms: RoomScenario = {
  kind: 'rooms',
  name: 'rooms',
  about: 'web sockets in rooms over two API instances, in lock-step: a slow client, a stopped one, an instance killed, one frozen',
  defaults: (server) => ({ consumers: FEWEST, rate: server === 'embedded' ? 8 : 20, ttlMs: 1_500, seconds: 20, quiet: true }),
  async play(stage) {
    if (stage.options.consumers < FEWEST) throw new Error(`the scenario rooms needs --consumers ${FEWEST} or more (got ${stage.options.consumers})`);
    await stage.untilPart(0.1);
    await slowOne(stage, stage.client('arena-1'));
    await stage.untilPart(0.25);
    await stoppedOne(stage, stage.client('lobby-2'), 'a');
    await stage.untilPart(0.4);
    await killOne(stage, 'a', 'c');
    await stage.untilPart(0.65);
    await freezeOne(stage, 'b');
    await stage.untilPart(0.9);
  },
};

async function slowOne(stage: RoomStage, client: RoomClient): Promise<void> {
  const { name, room } = client;
  const others = ROOMS.filter((other) => other !== room);
  const from = Date.now(), before = new Map(ROOMS.map((one) => [one, stage.lastTick(one)]));
  const moved = (one: string): number => stage.lastTick(one) - (before.get(one) ?? 0);
  say('demo', 'fault', name, `slow: takes ${SLOW_MS} ms over each tick, and ${room} with it`);
  client.manner = 'slow';
  await stage.untilPart(0.2);
  await stage.until(() => moved(room) >= 3, stage.soon(SOON_MS));
  const until = Date.now();
  client.manner = 'prompt';
  // A tick seen in the very millisecond of the change may have been acknowledged before it.
  const gaps = gapsOf(stage.journal, room).filter((gap) => gap.from > from && gap.to <= until).map((gap) => gap.to - gap.from);
  const ok = gaps.length > 0 && Math.min(...gaps) >= SLOW_MS && client.isIn && others.every((other) => moved(other) >= moved(room));
  stage.promise(`while ${name} took ${SLOW_MS} ms over each tick, ${room} waited for it every time (${moved(room)} ticks, ${Math.min(...gaps)} ms apart at least) and the other rooms did not (${others.map(moved).join(' and ')})`, ok);
}

async function stoppedOne(stage: RoomStage, client: RoomClient, speaker: string): Promise<void> {
  const { name, room, stay } = client;
  const others = ROOMS.filter((other) => other !== room);
  const told = stay?.seen.length ?? 0;
  say('demo', 'fault', name, 'stopped: reads on, but acknowledges nothing');
  client.manner = 'stopped';
  await stage.until(() => (stay?.seen.length ?? 0) > told, stage.soon(SOON_MS));
  const at = Date.now(), tick = stage.lastTick(room);
  const before = new Map(others.map((other) => [other, stage.lastTick(other)]));
  await stage.pause(ACK_TIMEOUT_MS / 10);
  await urgentOne(stage, room, speaker, tick);
  const ejected = await stage.until(() => stay?.over?.why === 'ejected', ACK_TIMEOUT_MS + stage.soon(SOON_MS));
  const wentOn = await stage.until(() => stage.lastTick(room) > tick, stage.soon(SOON_MS));
  const still = longestSince(stage, [room], at);
  const alone = stage.clients.every((one) => one === client || one.isIn);
  stage.promise(`${name} did not acknowledge and was ejected alone; ${room} went on after ${seconds(still)}`, ejected && wentOn && alone && still <= stage.soon(ACK_TIMEOUT_MS + 1_000));
  stage.promise(`meanwhile the other rooms went on (${others.map((other) => stage.lastTick(other) - (before.get(other) ?? 0)).join(' and ')} ticks)`, others.every((other) => stage.lastTick(other) > (before.get(other) ?? 0)));
  await stage.pause(ACK_TIMEOUT_MS / 4);
  say('demo', 'waking', name, 'asks to be let in again');
  client.wake();
  const back = await stage.until(() => follows(client, 2), stage.soon(SOON_MS));
  stage.promise(`${name}, woken, joined again and moved with the others`, back);
}

/** Out of band, while the room waits. */
async function urgentOne(stage: RoomStage, room: string, speaker: string, tick: number): Promise<void> {
  const listeners = stage.clients.filter((client) => client.room === room && client.isIn);
  const at = Date.now();
  await stage.urgent(speaker, room, 'the building is on fire');
  const shown = () => stage.journal.urgent.filter((urgent) => urgent.room === room && urgent.at >= at);
  const all = await stage.until(() => shown().length >= listeners.length, ACK_TIMEOUT_MS);
  const late = shown().reduce((max, urgent) => Math.max(max, urgent.seenAt - urgent.at), 0);
  say('demo', 'urgent', room, `shown to all ${listeners.length} clients after ${late} ms, while tick ${tick} waits`);
  stage.promise(`while ${room} stood still, all of its clients (${listeners.length}) were shown an urgent message after ${late} ms`, all && late <= stage.soon(URGENT_MS) && stage.lastTick(room) === tick);
}

async function killOne(stage: RoomStage, name: string, successor: string): Promise<void> {
  const clients = stage.on(name), at = Date.now();
  stage.kill(name);
  const [, started] = await Promise.all([
    allGoOn(stage, name, 'SIGKILL', clients, at),
    stage.startInstance(successor).then(() => undefined, (error: Error) => error),
  ]);
  if (started) throw started;
  const clientsNow = clients.filter(({ instance }) => instance !== successor);
  say('demo', 'moving', successor, `in its place: ${clientsNow.map((client) => client.name).join(' ')} hang up and go there, whatever they owe`);
  for (const client of clientsNow) client.move(successor);
  const moved = await stage.until(() => clientsNow.every((client) => client.instance === successor && follows(client, 2)), stage.soon(SOON_MS));
  stage.promise(`clients that hung up amid it all (${clientsNow.length}) went on at ${successor}`, moved);
}

async function freezeOne(stage: RoomStage, name: string): Promise<void> {
  const clients = stage.on(name), at = Date.now();
  stage.freeze(name);
  await allGoOn(stage, name, 'SIGSTOP', clients, at);
  // Past its deadline for certain, so that what it believes on waking is wrong.
  await stage.pause(Math.max(0, at + stage.options.ttlMs * 1.25 - Date.now()));
  stage.thaw(name);
  const late = stage.addClient(`arena-${stage.options.consumers + 1}`, 'arena', name);
  const follow = await stage.until(() => late.instance === name && follows(late, 3), stage.takeoverBoundMs);
  stage.promise(`${name}, woken, takes part again: ${late.name} connected to it and moved with the others`, follow);
}

/** All rooms of a lost instance go on in time, and its clients at another. */
async function allGoOn(stage: RoomStage, name: string, kind: string, clients: readonly RoomClient[], at: number): Promise<void> {
  const bound = stage.takeoverBoundMs;
  await stage.until(() => stage.allWentOnWithout(name), bound + stage.soon(SOON_MS));
  const still = longestSince(stage, ROOMS, at);
  stage.promise(`after the ${kind} of ${name} all ${ROOMS.length} rooms went on; they stood still for ${seconds(still)}, at most ${seconds(bound)}`, stage.allWentOnWithout(name) && still <= bound);
  const elsewhere = await stage.until(() => clients.every((client) => client.instance !== name && follows(client, 2)), stage.soon(SOON_MS));
  stage.promise(`its clients (${clients.length}) went on at another instance`, elsewhere);
}

/** How long any of the rooms has stood still since then. */
function longestSince(stage: RoomStage, among: readonly string[], at: number): number {
  return among.flatMap((room) => gapsOf(stage.journal, room)).filter(({ to }) => to >= at).reduce((max, { from, to }) => Math.max(max, to - from), 0);
}

/** It is in, and has acknowledged so many ticks since. */
function follows(client: RoomClient, ticks: number): boolean {
  return client.isIn && (client.stay?.acked.size ?? 0) >= ticks;
}
