import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import type { Payment } from '../payload.js';
import { RoomMeter } from './fanout-meter.js';
import type { Message } from '../support/worker.js';
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

interface Prepared {
  readonly rooms: string[];
  handle(room: string, data: unknown): Promise<void>;
  /** `begin`: closes the gate for messages to come, and counts from the first; `go`: opens it. */
  told(message: Message): void;
}

function prepare({ options, tell }: RoleContext): Prepared {
  const count = (): RoomMeter => new RoomMeter(Number(options['warm']), Number(options['messages']), (stepped) => tell({ type: 'stepped', ...stepped }));
  let meter = count();
  let go: () => void = () => undefined;
  let open = Promise.resolve();
  return {
    rooms: Array.from({ length: Number(options['rooms']) }, (_, i) => roomName(i)),
    // The user's handler, as everybody has it: asynchronous.
    handle: async (room, data) => (data === GATE ? open : meter.see(room, data as Payment)),
    told: ({ type }) => {
      if (type === 'go') return go();
      meter = count();
      if (options['keeper'] === true) open = new Promise((resolve) => (go = resolve));
      tell({ type: 'begun' });
    },
  };
}

const engine: Role = async (context) => {
  const { rooms, handle, told } = prepare(context);
  const own = new RedisStreamsEngine({ connection: { url: context.url } });
  await own.start();
  await Promise.all(rooms.map((room) => own.fanout().join(room, (data, { room: name }) => handle(name, data))));
  return async (message) => told(message);
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
  const { rooms, handle, told } = prepare(context);
  const members = Number(context.options['members']);
  const listener = new Redis(context.url);
  const commands = new Redis(context.url, { scripts: { step: { lua: STEP, numberOfKeys: 2 } } });
  const { step } = commands as unknown as { step(counter: string, waiting: string, members: number, channel: string): Promise<unknown> };
  listener.on('message', (room: string, text: string) => {
    void handle(room, JSON.parse(text)).then(() => step.call(commands, counterKey(room), waitingKey(room), members, room));
  });
  await listener.subscribe(...rooms);
  return async (message) => told(message);
};

export const fanoutLockstepRoles: Readonly<Record<string, Role>> = { 'fanout-engine': engine, 'fanout-raw': raw };
