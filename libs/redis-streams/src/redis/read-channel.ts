import type { Redis } from 'ioredis';
import { ClosedError, ConnectionError } from '../errors/index.js';
import { XreadParser, type StreamMessage } from '../kernel/xread-parser.js';
import { isIdle, send, socketOf } from './compat.js';
import { withDeadline } from './deadline.js';
import { bulk } from './wire.js';

/** Beyond BLOCK, before the answer counts as missing. */
const GRACE_MS = 1_000;
const CONNECT_MS = 5_000;

interface Socket {
  write(data: string): boolean;
  destroy(): unknown;
}

/**
 * A disposable connection for XREAD, one at a time. ioredis connects it - TLS, AUTH, SELECT, Sentinel, Cluster as
 * configured - and hands its socket over: the replies are read by a parser made for them. Like BlockingChannel it never
 * reconnects and never resends; whatever goes wrong ends it, and the next read opens another.
 */
export class ReadChannel {
  private client: Redis | undefined;
  private socket: Socket | undefined;
  private waiting: { resolve(streams: ReadonlyMap<string, StreamMessage[]>): void; reject(error: Error): void } | undefined;
  private heardAt = 0;
  private watchdog: NodeJS.Timeout | undefined;
  private judgeAt = 0;
  private blockMs = 0;
  private closed = false;

  constructor(
    private readonly open: () => Redis,
    private readonly onClose: () => void,
  ) {}

  /** Stream -> entries. @throws ConnectionError, ClosedError, or the server's own error */
  async read(args: ReadonlyArray<string | number>, blockMs: number): Promise<ReadonlyMap<string, StreamMessage[]>> {
    if (this.closed) throw new ClosedError('the reading connection');
    try {
      const socket = this.socket ?? (await this.connect());
      if (this.socket !== socket) throw new ConnectionError('the connection was closed while it was made');
      const reply = new Promise<ReadonlyMap<string, StreamMessage[]>>((resolve, reject) => {
        this.waiting = { resolve, reject };
        socket.write(encode(args));
      });
      this.heardAt = performance.now();
      this.watch(blockMs);
      return await reply;
    } catch (error) {
      if (!(error instanceof ServerError) || ELSEWHERE.test(error.message)) this.drop();
      if (this.closed) throw new ClosedError('the reading connection');
      throw error;
    } finally {
      this.watchdog?.unref();
      this.waiting = undefined;
    }
  }

  /** Silence is what counts: a long reply over a thin line is no dead connection. One timer serves many reads: most end long before it. */
  private watch(blockMs: number): void {
    this.blockMs = blockMs;
    const judgedAt = this.heardAt + blockMs + GRACE_MS;
    if (!this.watchdog || judgedAt < this.judgeAt) this.arm(judgedAt);
    else this.watchdog.ref();
  }

  private arm(at: number): void {
    clearTimeout(this.watchdog);
    this.judgeAt = at;
    // The verdict falls one turn after the timer: when this process was stalled, the answer may wait in the socket.
    const watchdog = setTimeout(() => setImmediate(() => this.watchdog === watchdog && this.judge()), Math.max(1, Math.ceil(at - performance.now())));
    this.watchdog = watchdog;
  }

  private judge(): void {
    this.watchdog = undefined;
    const { waiting, blockMs } = this;
    if (!waiting) return;
    const limit = blockMs + GRACE_MS;
    const left = this.heardAt + limit - performance.now();
    if (left > 0) this.arm(this.heardAt + limit);
    else waiting.reject(new ConnectionError(`a read that blocks for ${blockMs} ms met ${limit} ms of silence`));
  }

  /** Ends a read in progress. */
  close(): void {
    this.closed = true;
    clearTimeout(this.watchdog);
    this.watchdog = undefined;
    this.drop();
    this.onClose();
  }

  private drop(): void {
    const { client, socket } = this;
    this.client = undefined;
    this.socket = undefined;
    client?.disconnect();
    // Not only its half of it: whatever the server still has to say is for nobody, and must not keep the process.
    socket?.destroy();
    this.waiting?.reject(new ConnectionError('the connection ended during a read'));
  }

  private async connect(): Promise<Socket> {
    const client = this.open();
    this.client = client;
    client.on('error', () => undefined); // told to the caller by `end`
    const ended = new Promise<never>((_, reject) => client.once('end', () => reject(new ConnectionError('the connection ended before it was ready'))));
    ended.catch(() => undefined);
    // When this is answered, what ioredis has sent before it to set the connection up is answered too.
    do await withDeadline(Promise.race([send(client, false, 'TIME', []), ended]), CONNECT_MS, () => new ConnectionError(`no connection for reading within ${CONNECT_MS} ms`));
    while (!isIdle(client));
    if (this.client !== client) throw new ConnectionError('the connection was closed while it was made');
    const parser = new XreadParser();
    const socket = socketOf(client);
    socket.removeAllListeners('data');
    socket.on('data', (chunk) => {
      if (this.client === client) this.received(parser, chunk);
    });
    client.once('end', () => this.client === client && this.drop());
    this.socket = socket;
    return socket;
  }

  private received(parser: XreadParser, chunk: Buffer): void {
    this.heardAt = performance.now();
    try {
      const reply = parser.push(chunk);
      if (!reply) return;
      if (!this.waiting) return this.drop(); // an answer nobody asked for: the next one would be taken for another's
      if (reply.error === undefined) this.waiting?.resolve(reply.streams);
      else this.waiting?.reject(new ServerError(reply.error));
    } catch (error) {
      this.waiting?.reject(new ConnectionError((error as Error).message, error));
    }
  }
}

/** It is not this server any more that has the key, or that may be asked. */
const ELSEWHERE = /^(MOVED|ASK|READONLY|CLUSTERDOWN|MASTERDOWN|LOADING)\b/;

/** What the server refuses, in its words: the connection is sound. */
class ServerError extends Error {}

function encode(args: ReadonlyArray<string | number>): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += bulk(String(arg));
  return text;
}
