import { Logger } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { RedisStreamsClient } from '../engine.js';
import { payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { lanes } from '../support/lanes.js';
import { percentile } from '../support/stats.js';
import type { Role } from '../workers/role.js';
import { clientOf, EVENT, kindOf, REQUEST } from './kinds.js';

/** Callers at a time, as an HTTP API under load has them: as many as the benches of queues have. */
const CALLERS = 2_000;

function eventSender(client: ClientProxy, direct: boolean): (i: number) => Promise<unknown> {
  if (!direct) return (i) => lastValueFrom(client.emit(EVENT, payment(i)), { defaultValue: undefined });
  if (!(client instanceof RedisStreamsClient)) throw new Error('only ours sends without an Observable');
  return (i) => client.emitAsync(EVENT, payment(i));
}

/** Sends `count` requests, so many at a time. */
export async function asked(count: number, concurrency: number, ask: (i: number) => Promise<unknown>): Promise<{ ms: number; p50Ms: number; p99Ms: number }> {
  const times = Array.from({ length: count }, () => 0);
  const startAt = sharedNow();
  await lanes(count, concurrency, async (i) => {
    const before = performance.now();
    await ask(i);
    times[i] = performance.now() - before;
  });
  return { ms: sharedNow() - startAt, p50Ms: percentile(times, 50), p99Ms: percentile(times, 99) };
}

const client: Role = async ({ url, options, tell }) => {
  Logger.overrideLogger(['error', 'warn']);
  const own = clientOf(kindOf(options), url, Number(options['tcpPort']));
  await own.connect();
  const emit = eventSender(own, options['direct'] === true);
  return async ({ type, count, concurrency }) => {
    const cpu = process.cpuUsage();
    if (type === 'emit') {
      const startAt = sharedNow();
      await lanes(Number(count), CALLERS, emit);
      const { user, system } = process.cpuUsage(cpu);
      return tell({ type: 'emitted', startAt, endAt: sharedNow(), cpuUs: user + system });
    }
    const times = await asked(Number(count), Number(concurrency), (i) => lastValueFrom(own.send(REQUEST, payment(i))));
    const { user, system } = process.cpuUsage(cpu);
    tell({ type: 'asked', ...times, cpuUs: user + system });
  };
};

export const transportClientRoles: Readonly<Record<string, Role>> = { 'transport-client': client };
