import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import type { Payment } from '../payload.js';
import { RoomMeter } from './fanout-meter.js';
import type { Role, RoleContext } from './role.js';

export function roomName(i: number): string {
  return `room-${i}`;
}

/** What a room shows first: who is told to holds it until "go", so that everything else can be there before. */
export const GATE = 'gate';

export interface LockstepOptions {
  readonly rooms: number;
  readonly members: number;
  readonly messages: number;
  readonly warm: number;
  readonly keeper: boolean;
}

function prepare({ options, tell }: RoleContext): { rooms: string[]; handle(room: string, data: unknown): Promise<void>; go(): void } {
  const total = Number(options['messages']);
  const meter = new RoomMeter(Number(options['warm']), total, (stepped) => tell({ type: 'stepped', ...stepped }));
  let go: () => void = () => undefined;
  const open = options['keeper'] === true ? new Promise<void>((resolve) => (go = resolve)) : Promise.resolve();
  return {
    rooms: Array.from({ length: Number(options['rooms']) }, (_, i) => roomName(i)),
    // The user's handler, as everybody has it: asynchronous.
    handle: async (room, data) => (data === GATE ? open : meter.see(room, data as Payment)),
    go: () => go(),
  };
}

const engine: Role = async (context) => {
  const { rooms, handle, go } = prepare(context);
  const own = new RedisStreamsEngine({ connection: { url: context.url } });
  await own.start();
  await Promise.all(rooms.map((room) => own.fanout().join(room, (data, { room: name }) => handle(name, data))));
  return async () => go();
};

const counterKey = (room: string): string => `counter:${room}`;
export const waitingKey = (room: string): string => `waiting:${room}`;

/** Where the script says that all have acknowledged and nothing waits. */
export const DONE_CHANNEL = 'done';

/** The bound: one script call per message and subscriber; the last one publishes the next message. */
const STEP = `
if redis.call('INCR', KEYS[1]) % tonumber(ARGV[1]) ~= 0 then return end
local following = redis.call('LPOP', KEYS[2])
redis.call('PUBLISH', following and ARGV[2] or '${DONE_CHANNEL}', following or '')`;

const raw: Role = async (context) => {
  const { rooms, handle, go } = prepare(context);
  const members = Number(context.options['members']);
  const listener = new Redis(context.url);
  const commands = new Redis(context.url, { scripts: { step: { lua: STEP, numberOfKeys: 2 } } });
  const { step } = commands as unknown as { step(counter: string, waiting: string, members: number, channel: string): Promise<unknown> };
  listener.on('message', (room: string, text: string) => {
    void handle(room, JSON.parse(text)).then(() => step.call(commands, counterKey(room), waitingKey(room), members, room));
  });
  await listener.subscribe(...rooms);
  return async () => go();
};

export const fanoutLockstepRoles: Readonly<Record<string, Role>> = { 'fanout-engine': engine, 'fanout-raw': raw };
