import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type LedgerData, type LedgerEvent, type LedgerKind, type Verdict, verdictOf } from './ledger-verdict.js';

export type { LedgerData, LedgerEvent, LedgerKind, Verdict } from './ledger-verdict.js';

/** The truth about effects, kept apart from Redis, so that it holds whatever happens to Redis. */
export interface Ledger {
  readonly port: number;
  /** Append-only, in the order of arrival. */
  readonly events: readonly LedgerEvent[];
  /** From the test's own process, without a connection. */
  record(kind: LedgerKind, data: LedgerData): boolean;
  /** The highest token an effect on this resource was accepted with. */
  highestToken(resource: string): bigint | undefined;
  verdict(): Verdict;
  stop(): Promise<void>;
}

export interface LedgerClient {
  /**
   * Resolves to false when an effect was refused: its token is below the highest seen for the resource. The
   * line is handed to the kernel within this call where the socket allows, so it counts even if the process
   * is killed right after. Rejects when the ledger is gone.
   */
  record(kind: LedgerKind, data: LedgerData): Promise<boolean>;
  close(): Promise<void>;
}

export async function startLedger(): Promise<Ledger> {
  const events: LedgerEvent[] = [];
  const highest = new Map<string, bigint>();
  const record = (kind: LedgerKind, data: LedgerData): boolean => {
    let accepted = true;
    if (kind === 'effect') {
      if (data.token === undefined) throw new Error(`An effect on ${data.resource} needs a token`);
      const token = BigInt(data.token);
      const seen = highest.get(data.resource);
      accepted = seen === undefined || token >= seen;
      if (accepted) highest.set(data.resource, token);
    }
    events.push({ ...data, kind, accepted, seq: events.length + 1, atMs: Date.now() });
    return accepted;
  };

  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      // A process killed within a write leaves half a line: it was never recorded.
      rest = lines.pop() ?? '';
      let replies = '';
      for (const line of lines) {
        const [n, kind, data] = JSON.parse(line) as [number, LedgerKind, LedgerData];
        try {
          replies += `${JSON.stringify([n, record(kind, data)])}\n`;
        } catch (error) {
          replies += `${JSON.stringify([n, String(error)])}\n`;
        }
      }
      if (!socket.destroyed && replies !== '') socket.write(replies);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    events,
    record,
    highestToken: (resource) => highest.get(resource),
    verdict: () => verdictOf(events),
    stop: async () => {
      const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

export async function connectLedger(port: number): Promise<LedgerClient> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const open = new Map<number, { resolve(accepted: boolean): void; reject(error: Error): void }>();
  let last = 0;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    for (const { reject } of open.values()) reject(new Error('The ledger closed the connection'));
    open.clear();
  });
  createInterface({ input: socket }).on('line', (line) => {
    const [n, answer] = JSON.parse(line) as [number, boolean | string];
    const waiting = open.get(n);
    open.delete(n);
    if (typeof answer === 'string') waiting?.reject(new Error(answer));
    else waiting?.resolve(answer);
  });
  return {
    record: (kind, data) => new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(new Error('The ledger is gone'));
      const n = ++last;
      open.set(n, { resolve, reject });
      socket.write(`${JSON.stringify([n, kind, data])}\n`);
    }),
    close: async () => {
      const closed = new Promise<void>((resolve) => { socket.once('close', () => resolve()); });
      if (socket.destroyed) return;
      socket.end();
      await closed;
    },
  };
}
