import type { INestMicroservice, Type } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';

/** `streams`: ours; `redis` and `tcp`: Nest's own. */
export const TRANSPORTS = ['streams', 'redis', 'tcp'] as const;
export type TransportName = (typeof TRANSPORTS)[number];

export interface ServerSettings {
  /** Instances of one service share its events, where the transport knows of services. */
  readonly service?: string;
  /** Channels with wildcards, which only Nest's Redis transport has. */
  readonly wildcards?: boolean;
  readonly providers?: readonly Type[];
  /** Before it listens: global pipes, hooks and the like. */
  readonly configure?: (app: INestMicroservice) => void;
}

export interface ClientSettings {
  /** Of the streams. */
  readonly requestTimeoutMs?: number;
}

/** What the suite asks of a transport. A server is an application of its own, in this process or in a child. */
export interface Transport {
  readonly name: TransportName;
  /** Servers and clients that are told the same address find each other. */
  readonly address: Address;
  /** Listens when it resolves. */
  server(controller: Type | readonly Type[], settings?: ServerSettings): Promise<INestMicroservice>;
  /** Of nobody's yet: it connects when it is first used. */
  client(settings?: ClientSettings): ClientProxy;
  /** As `client`, of a place where nothing listens. */
  lostClient(): Promise<ClientProxy>;
  /** All connections break, and may be made again; `during` runs when they are broken, and before that is known to everybody. */
  breakConnections(during: () => Promise<void>): Promise<void>;
  /** Closes what servers and clients are open. Those that come after them are in a world of their own. */
  closeAll(): Promise<void>;
}

/** As it is given to a child process. */
export interface Address {
  readonly name: TransportName;
  /** Of the Redis server, or where the TCP server listens. */
  readonly port: number;
  /** Of the streams: those of one test see nothing of those of another. */
  readonly namespace: string;
}
