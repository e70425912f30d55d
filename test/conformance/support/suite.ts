import { randomBytes } from 'node:crypto';
import type { Server, Socket } from 'node:net';
import type { INestMicroservice } from '@nestjs/common';
import { Logger } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { freePort } from '../../support/free-port.js';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { differences, type DifferenceId } from '../differences.js';
import { openClient, openServer } from './open.js';
import { inTime } from './outcome.js';
import { type Address, type ClientSettings, type Transport, type TransportName, TRANSPORTS } from './transport.js';

class RealTransport implements Transport {
  readonly servers: INestMicroservice[] = [];
  readonly clients: ClientProxy[] = [];
  /** Of TCP servers. */
  private readonly sockets = new Set<Socket>();

  constructor(
    public address: Address,
    private readonly redis: RedisServer | undefined,
  ) {}

  get name(): TransportName {
    return this.address.name;
  }

  server: Transport['server'] = async (controller, settings) => {
    const app = await inTime(openServer(this.address, Array.isArray(controller) ? controller : [controller], settings), `the ${this.name} server listens`);
    this.servers.push(app);
    if (this.name === 'tcp') app.unwrap<Server>().on('connection', (socket) => this.sockets.add(socket));
    return app;
  };

  client(settings?: ClientSettings): ClientProxy {
    const client = openClient(this.address, settings);
    this.clients.push(client);
    return client;
  }

  async lostClient(): Promise<ClientProxy> {
    const client = openClient({ ...this.address, port: await freePort() });
    this.clients.push(client);
    return client;
  }

  async breakConnections(during: () => Promise<void>): Promise<void> {
    for (const socket of this.sockets) socket.pause();
    for (const type of ['normal', 'pubsub']) await this.redis?.cli('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
    await during();
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  async closeAll(): Promise<void> {
    // One that a test has closed already has nothing more to close, or says so.
    await Promise.allSettled(this.clients.splice(0).map(async (client) => client.close()));
    await Promise.allSettled(this.servers.splice(0).map((app) => app.close()));
    this.address = { ...this.address, namespace: newNamespace() };
  }

  /** @internal */
  async stop(): Promise<void> {
    await this.closeAll();
    await this.redis?.stop();
  }
}

async function start(name: TransportName): Promise<RealTransport> {
  const namespace = newNamespace();
  if (name === 'tcp') {
    return new RealTransport({ name, namespace, port: await freePort() }, undefined);
  }
  const redis = await startRedis();
  return new RealTransport({ name, namespace, port: redis.port }, redis);
}

function newNamespace(): string {
  return `c${randomBytes(4).toString('hex')}`;
}

/** The same scenarios for each transport. `transport()` is there within tests and hooks. */
export function overTransports(title: string, scenarios: (transport: () => Transport, name: TransportName) => void): void {
  describe.each(TRANSPORTS.map((name) => ({ name })))(`${title}, over $name`, ({ name }) => {
    let real: RealTransport | undefined;
    beforeAll(async () => {
      Logger.overrideLogger(false);
      real = await start(name);
    });
    afterAll(() => real?.stop());
    scenarios(() => {
      if (!real) throw new Error('no transport before the tests begin');
      return real;
    }, name);
  });
}

type Says<Id extends DifferenceId> = (typeof differences)[Id]['says'];
/** One test for each sentence of the table. */
export type Checks<Id extends DifferenceId> = { readonly [Who in keyof Says<Id>]: () => Promise<void> };

/** A test of what the table of differences says of this transport. */
export function differs<Id extends DifferenceId>(id: Id, name: TransportName, checks: Checks<Id>): void {
  const who = whoOf(differences[id].says, name);
  const says = differences[id].says as Readonly<Record<string, string>>;
  it(`DIFFERS ${id}: ${says[who]!}`, (checks as Readonly<Record<string, () => Promise<void>>>)[who]!);
}

/** The key under which the table speaks of a transport: its own name, or `nest` for both of Nest's. */
export function whoOf(says: object, name: TransportName): string {
  return name in says ? name : 'nest';
}
