import type { ConnectionOptions, QueueTuning } from '../queue/library.js';
import type { Command, ProducerConfig, Report } from '../queue/messages.js';

export const EVENT = 'chaos.event';
/** Answered with one value. */
export const ONE = 'chaos.one';
/** Answered with several values. */
export const MANY = 'chaos.many';

/** Full names of the queues underneath. */
export const EVENT_QUEUE = `transport:event.${EVENT}`;
export const REQUEST_QUEUES = [`transport:request.${ONE}`, `transport:request.${MANY}`];
export const UNROUTED_QUEUE = 'transport:unrouted';

/** A microservice, as JSON in its only argument. */
export interface ServerConfig {
  /** Never used before: what the ledger calls it. */
  readonly label: string;
  /** Its consumer name; another process may have had it before. */
  readonly name: string;
  readonly service: string;
  readonly connection: ConnectionOptions;
  readonly ledgerPort: number;
  readonly ttlMs: number;
  readonly shards: number;
  readonly events: QueueTuning;
  /** Requests that run in it at once. */
  readonly concurrency: number;
}

/** A process with a client that emits events and sends requests at steady rates until it is told to hold. */
export interface ClientConfig extends ProducerConfig {
  readonly requestsPerSecond: number;
  readonly requestTimeoutMs: number;
}

/** A process that makes one client after another: each sends a request of either kind and is closed. */
export interface GuestsConfig {
  readonly label: string;
  readonly connection: ConnectionOptions;
  readonly ledgerPort: number;
  readonly requestTimeoutMs: number;
  readonly seed: number;
  /** Number of the first, and how many. */
  readonly first: number;
  readonly count: number;
  /** So many at a time. */
  readonly lanes: number;
  /** Over which they are spread. */
  readonly overMs: number;
}

/** What a request carries: by whom, which one, how many values are wanted, and how long its handler takes over each. */
export interface Question {
  readonly p: number;
  readonly n: number;
  readonly values: number;
  readonly workMs: number;
}

export function answerTo({ p, n }: Question, i: number): string {
  return `${p}/${n}/${i}`;
}

export type GuestsReport = Report | { readonly type: 'gone'; readonly count: number };
export type { Command, Report };
