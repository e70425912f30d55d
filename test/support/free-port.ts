import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/*
 * Below the kernel's ephemeral range (32768 and up), and not by listen(0), which draws from it: while a test's
 * server is down, a client that reconnects to an ephemeral port of its own host can be given that very port as
 * its source and then talks to itself, and other connections can take it before the server is back.
 * The upper bound leaves room for the cluster bus at +10,000.
 */
const LOWEST = 11_000;
const HIGHEST = 21_999;
export const BUS_OFFSET = 10_000;

/** Only a proposal: another process may take it at any time, so whoever listens on it must retry. */
export async function freePort({ withBus = false } = {}): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if ((await canListen(port)) && (!withBus || (await canListen(port + BUS_OFFSET)))) return port;
  }
  throw new Error(`No free port found between ${LOWEST} and ${HIGHEST}`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
