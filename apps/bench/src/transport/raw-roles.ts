import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { payment } from '../payload.js';
import type { Role } from '../workers/role.js';
import { asked } from './client-roles.js';
import { usage } from './usage.js';

const REQUESTS = 'raw:requests';
const REPLIES = 'raw:replies';
const GROUP = 'raw';
const BLOCK_MS = 2_000;
const COUNT = 500;

type Reply = ReadonlyArray<readonly [stream: string, entries: ReadonlyArray<readonly [id: string, fields: readonly string[]]>]> | null;

const SEND = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end return #ARGV";
/** Replies and acknowledges in one call. */
const ANSWER = `redis.call('XADD', KEYS[2], '*', 'data', ARGV[2])
local ids = {}
for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
redis.call('XDEL', KEYS[1], unpack(ids))
return #ids`;

async function loaded(redis: Redis, text: string): Promise<string> {
  await redis.script('LOAD', text);
  return createHash('sha1').update(text).digest('hex');
}

/** The least that a durable answer takes: a batch read, its replies stored in one entry and acknowledged in the same call. */
const server: Role = async ({ url, tell }) => {
  const reader = new Redis(url);
  const writer = new Redis(url);
  const sha = await loaded(writer, ANSWER);
  await writer.xgroup('CREATE', REQUESTS, GROUP, '0', 'MKSTREAM');
  void (async () => {
    for (;;) {
      const reply = (await reader.xreadgroup('GROUP', GROUP, 'raw', 'COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', REQUESTS, '>')) as Reply;
      const entries = reply?.[0]?.[1] ?? [];
      if (entries.length === 0) continue;
      const answers = entries.map(([, fields]) => JSON.parse(fields[1]!) as readonly [id: number, data: unknown]);
      // Not waited for: the next batch is read meanwhile.
      void writer.evalsha(sha, 2, REQUESTS, REPLIES, GROUP, JSON.stringify(answers), ...entries.map(([id]) => id));
    }
  })();
  return async () => tell(usage());
};

/** What is asked in one turn is one call. */
const client: Role = async ({ url, tell }) => {
  const reader = new Redis(url);
  const writer = new Redis(url);
  const sha = await loaded(writer, SEND);
  const open = new Map<number, (data: unknown) => void>();
  let waiting: string[] = [];
  let last = '0-0';
  void (async () => {
    for (;;) {
      const reply = (await reader.xread('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', REPLIES, last)) as Reply;
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        last = id;
        for (const [request, data] of JSON.parse(fields[1]!) as Array<readonly [number, unknown]>) {
          open.get(request)?.(data);
          open.delete(request);
        }
      }
    }
  })();
  const flush = (): void => {
    void writer.evalsha(sha, 1, REQUESTS, ...waiting);
    waiting = [];
  };
  let requests = 0;
  const ask = (i: number): Promise<unknown> =>
    new Promise((resolve) => {
      const id = requests++;
      open.set(id, resolve);
      if (waiting.push(JSON.stringify([id, payment(i)])) === 1) queueMicrotask(flush);
    });
  return async ({ count, concurrency }) => {
    const cpu = process.cpuUsage();
    const times = await asked(Number(count), Number(concurrency), ask);
    const { user, system } = process.cpuUsage(cpu);
    tell({ type: 'asked', ...times, cpuUs: user + system });
  };
};

export const transportRawRoles: Readonly<Record<string, Role>> = { 'transport-raw-server': server, 'transport-raw-client': client };
