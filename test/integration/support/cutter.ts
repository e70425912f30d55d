import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { redisCommand } from '../../support/redis-command.js';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';

export interface Cutter {
  readonly url: string;
  /** Requests whose answers were dropped. */
  readonly cuts: number;
  /** The next `times` requests that hold this text reach the server; their answers do not come back, the connection ends. */
  cutAfter(text: string, times?: number): void;
  stop(): Promise<void>;
}

/** How a script shows on the wire. */
export const shaOf = (script: keyof typeof LUA): string => createHash('sha1').update(LUA[script]).digest('hex');

/** A proxy that loses exactly the answer it is told to lose. */
export async function startCutter(targetPort: number): Promise<Cutter> {
  // Known to the server, so that the answer which is lost is the script's own and not NOSCRIPT.
  for (const source of Object.values(LUA)) await redisCommand(targetPort, 'SCRIPT', 'LOAD', source);
  let wanted: { text: string; left: number } | undefined;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    let dropping = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true).on('error', () => undefined).on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => {
      if (wanted && wanted.left > 0 && chunk.includes(wanted.text)) {
        wanted.left--;
        dropping = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (!dropping) return client.write(chunk);
      cuts++;
      return client.destroy();
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const address = server.address();
  return {
    url: `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    get cuts() { return cuts; },
    cutAfter: (text, times = 1) => { wanted = { text, left: times }; },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => { server.close(() => resolve()); });
    },
  };
}
