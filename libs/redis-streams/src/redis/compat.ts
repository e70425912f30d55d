/**
 * The one place that knows how ioredis 5 and 6, Redis and Cluster differ, and the only one that looks behind types.
 */
import { Buffer } from 'node:buffer';
import type { Cluster, Redis } from 'ioredis';
import type { WireArguments } from './wire.js';

export type Client = Redis | Cluster;
export type Argument = string | number | Buffer;

export function isCluster(client: Client): client is Cluster {
  return (client as { isCluster?: boolean }).isCluster === true;
}

/** Sends any command; replies keep bulk strings as Buffers when asked to. Typed `unknown`: the caller knows the shape. */
export function send(client: Client, buffers: boolean, command: string, args: readonly Argument[]): Promise<unknown> {
  const target = client as { call: (...a: unknown[]) => Promise<unknown>; callBuffer: (...a: unknown[]) => Promise<unknown> };
  return buffers ? target.callBuffer(command, ...args) : target.call(command, ...args);
}

interface Command {
  readonly args: readonly unknown[];
  toWritable(socket: unknown): string | Buffer;
}

interface Sender {
  readonly options: { enableAutoPipelining?: boolean };
  sendCommand(command: Command, ...more: unknown[]): unknown;
}

const hooked = new WeakSet<object>();
/** For the command that is being made in this very turn. */
let added: WireArguments | undefined;

/** As `send`, with more arguments behind the others. The client makes the command, routes and resends it; only what it writes is longer. */
export function sendWithMore(client: Client, command: string, args: readonly Argument[], more: WireArguments): Promise<unknown> {
  if (!hooked.has(client)) hook(client);
  added = more;
  try {
    return send(client, false, command, args);
  } finally {
    added = undefined;
  }
}

function hook(client: Client): void {
  hooked.add(client);
  const sender = client as unknown as Sender;
  const { sendCommand } = sender;
  // What is gathered into a pipeline is made later.
  sender.options.enableAutoPipelining = false;
  sender.sendCommand = (command, ...rest) => {
    if (added) lengthen(command, added);
    added = undefined;
    return sendCommand.call(sender, command, ...rest);
  };
}

function lengthen(command: Command, more: WireArguments): void {
  const { toWritable } = command;
  command.toWritable = (socket) => {
    const own = String(toWritable.call(command, socket));
    const head = `*${command.args.length + 1 + more.count}${own.slice(own.indexOf('\r'))}`;
    return more.behind?.(head) ?? Buffer.concat([Buffer.from(head), more.bytes]);
  };
}

interface Socket {
  write(data: string): boolean;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  removeAllListeners(event: 'data'): unknown;
  destroy(): unknown;
}

/** The socket of a connection that is ready. Who takes its data away from ioredis must not send through ioredis any more. */
export function socketOf(client: Redis): Socket {
  return (client as unknown as { stream: Socket }).stream;
}

/** Whether everything this connection has sent is answered. */
export function isIdle(client: Redis): boolean {
  return (client as unknown as { commandQueue: { length: number } }).commandQueue.length === 0;
}

/** Name -> entries of an XREAD or XREADGROUP reply: pairs under RESP2; a map, an object or a flat list under RESP3. */
export function streamsOf(reply: unknown): Array<[unknown, unknown[]]> {
  if (reply === null || reply === undefined) return [];
  if (reply instanceof Map) return [...reply] as Array<[unknown, unknown[]]>;
  if (!Array.isArray(reply)) return Object.entries(reply as Record<string, unknown[]>);
  if (reply.length > 0 && Array.isArray(reply[0])) return reply as Array<[unknown, unknown[]]>;
  const pairs: Array<[unknown, unknown[]]> = [];
  for (let i = 0; i + 1 < reply.length; i += 2) pairs.push([reply[i], reply[i + 1] as unknown[]]);
  return pairs;
}

/** Flat field list of HGETALL, XINFO and the like, whatever the protocol made of it. */
export function fieldsOf(reply: unknown): Map<string, unknown> {
  if (reply instanceof Map) return new Map([...reply].map(([key, value]) => [String(key), value]));
  if (Array.isArray(reply)) {
    const map = new Map<string, unknown>();
    for (let i = 0; i + 1 < reply.length; i += 2) map.set(String(reply[i]), reply[i + 1]);
    return map;
  }
  return new Map(Object.entries((reply ?? {}) as Record<string, unknown>));
}

/** Address of the master that serves a slot, as the cluster client sees it; its `Redis` carries auth, TLS and NAT. */
export function nodeOfSlot(cluster: Cluster, slot: number): Redis | undefined {
  const slots = (cluster as unknown as { slots: string[][] }).slots;
  const key = slots[slot]?.[0];
  return cluster.nodes('master').find((node) => `${node.options.host}:${node.options.port}` === key);
}

/** Resolves when the cluster client has asked for the slots again, or could not. */
export function refreshSlots(cluster: Cluster): Promise<void> {
  return new Promise((resolve) => (cluster as unknown as { refreshSlotsCache(done: () => void): void }).refreshSlotsCache(resolve));
}

interface Waiting {
  readonly length: number;
  peekAt(place: number): { readonly command: { readonly promise: Promise<unknown> } } | undefined;
}

interface Inner {
  /** Sent, and unanswered. */
  readonly commandQueue: Waiting;
  /** To be sent when it is connected. */
  readonly offlineQueue: Waiting;
  readonly stream?: Socket;
  flushQueue(error: Error): void;
}

/** The node at which the command of this answer is, sent or to be sent. Undefined: the client has it itself, between two tries. */
export function nodeThatHas(cluster: Cluster, answer: Promise<unknown>): Redis | undefined {
  return cluster.nodes('all').find((node) => {
    const { commandQueue, offlineQueue } = node as unknown as Inner;
    return isIn(commandQueue, answer) || isIn(offlineQueue, answer);
  });
}

function isIn(waiting: Waiting, answer: Promise<unknown>): boolean {
  for (let i = 0; i < waiting.length; i++) if (waiting.peekAt(i)?.command.promise === answer) return true;
  return false;
}

/**
 * Takes the connection to one node of a cluster out of service. What waits for it fails with `error`: left to the client, it would
 * be sent again long after whoever wanted it has given up. The client makes another connection when it has something for the node.
 */
export function takeOut(node: Redis, error: Error): void {
  const inner = node as unknown as Inner;
  node.disconnect();
  inner.flushQueue(error);
  // Now: by itself it would wait for the other side to agree.
  inner.stream?.destroy();
}

type Told = (error?: Error | null) => void;

/**
 * A cluster client asks one node after the other who serves what, each for as long as it takes to give up on it, and has its
 * commands wait. Here another is asked as well when the first has not answered for `ms`, so that one that hangs costs no more.
 */
export function askAnotherAfter(ms: number, cluster: Cluster): void {
  const asker = cluster as unknown as { getInfoFromNode(node: Redis, told: Told): void };
  const ask = asker.getInfoFromNode.bind(cluster);
  asker.getInfoFromNode = (node, told) => {
    let asked = 1;
    const timer = setTimeout(() => {
      const others = cluster.nodes('all').filter((each) => each !== node);
      const other = others[Math.floor(Math.random() * others.length)];
      if (!other) return;
      asked++;
      ask(other, once);
    }, ms).unref();
    let over = false;
    const once: Told = (error) => {
      asked--;
      if (over || (error && asked > 0)) return;
      over = true;
      clearTimeout(timer);
      told(error);
    };
    ask(node, once);
  };
}
