import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect } from 'vitest';
import { spawnNode, type TestProcess } from '../support/processes.js';
import { waitUntil } from '../support/wait.js';
import { one, SILENCE, told } from './support/outcome.js';
import { differs, overTransports } from './support/suite.js';

/** Long enough for a session to expire and be noticed. */
const TAKEOVER_MS = 6_000;
const QUIET_MS = 3_000;

overTransports('an instance is killed', (transport, name) => {
  const seen: unknown[] = [];
  @Controller()
  class Heir {
    @EventPattern('event')
    event(data: unknown): void {
      seen.push(data);
    }
    @MessagePattern('request')
    request(data: unknown): unknown {
      return ['from the heir', data];
    }
  }
  let mortal: TestProcess<string>;
  let reply: Promise<unknown[]>;
  beforeAll(async () => {
    mortal = spawnNode<string>(new URL('fixtures/mortal.ts', import.meta.url), { args: [JSON.stringify(transport().address)] });
    const says = (what: string): Promise<string> => mortal.waitFor((message) => message === what, 30_000, what);
    await says('listens');
    const client = transport().client();
    await one(client.emit('event', 1));
    await says('has the event');
    reply = told(client.send('request', 2), name === 'streams' ? TAKEOVER_MS : QUIET_MS);
    await says('has the request');
    // Two cannot listen at one address.
    if (name !== 'tcp') await transport().server(Heir);
    await mortal.kill();
    if (name === 'tcp') await transport().server(Heir);
  });
  afterAll(() => mortal.kill());

  differs('instance that dies, requests', name, {
    streams: async () => expect(await reply).toEqual([['from the heir', 2], 'end']),
    redis: async () => expect(await reply).toEqual([SILENCE]),
    tcp: async () => expect(await reply).toEqual([{ error: 'Connection closed' }]),
  });
  differs('instance that dies, events', name, {
    streams: async () => {
      await waitUntil(() => seen.length === 1, { what: 'the heir has the event', timeoutMs: TAKEOVER_MS });
      expect(seen).toEqual([1]);
    },
    nest: async () => {
      await sleep(QUIET_MS);
      expect(seen).toEqual([]);
    },
  });
});
