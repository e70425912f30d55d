import { connect, type Socket } from 'node:net';
import type { Rng } from './seed.js';
import type { Faults, ProxyStats, Range } from './tcp-faults.js';
import { pipe } from './tcp-pipe.js';

export type CutCause = keyof ProxyStats['cuts'];

/** After a request is through, how long its reply is awaited before the cut (a blocking read may give none). */
const REPLY_GRACE_MS = 100;

const draw = (rng: Rng, range: Range | undefined): number | undefined =>
  range === undefined ? undefined : typeof range === 'number' ? range : rng.int(range[0], range[1]);

/** One proxied connection: `open` passes bytes, `dropping` awaits the reply it throws away, `swallow` is a black hole. */
export class ProxyConnection {
  private state: 'open' | 'dropping' | 'swallow' | 'cut' = 'open';
  private swallowed = 0;
  private readonly server: Socket;
  private lifetime: NodeJS.Timeout | undefined;
  private upLeft: number | undefined;
  private downLeft: number | undefined;

  constructor(
    private readonly client: Socket,
    targetPort: number,
    private faults: Faults,
    private readonly rng: Rng,
    private readonly stats: ProxyStats,
    private readonly onClosed: () => void,
    swallowing: boolean,
  ) {
    this.server = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    client.setNoDelay(true);
    for (const socket of [client, this.server]) socket.on('error', () => undefined);
    client.on('close', () => this.close());
    // A black hole answers nothing, not even that the server is gone.
    this.server.on('close', () => { if (this.state !== 'swallow') this.client.destroy(); });
    const shared = {
      mayEnd: () => this.state !== 'swallow',
      latencyMs: () => draw(rng, this.faults.latencyMs) ?? 0,
      sliceBytes: () => this.faults.sliceBytes ?? 0,
      onSlice: () => { stats.slices++; },
      onDelay: () => { stats.delayedChunks++; },
    };
    pipe(client, this.server, { ...shared, admit: (chunk) => this.admitUp(chunk), passed: (part, all) => this.passedUp(part, all) });
    pipe(this.server, client, { ...shared, admit: (chunk) => this.admitDown(chunk), passed: (part, all) => this.passedDown(part, all) });
    this.apply(faults);
    if (swallowing) this.swallow();
  }

  apply(faults: Faults): void {
    this.faults = faults;
    this.upLeft = draw(this.rng, faults.cutAfterUpstreamBytes);
    this.downLeft = draw(this.rng, faults.cutAfterDownstreamBytes);
    clearTimeout(this.lifetime);
    const lifetimeMs = draw(this.rng, faults.lifetimeMs);
    if (lifetimeMs !== undefined) this.lifetime = setTimeout(() => this.expire(), lifetimeMs);
  }

  swallow(): void {
    if (this.state === 'open') this.state = 'swallow';
  }

  /** The server's side ends, the client is told nothing and never answered again. */
  halfOpen(): void {
    this.swallow();
    if (this.state !== 'swallow') return;
    this.stats.halfOpened++;
    this.server.destroy();
  }

  /** End of a black hole: bytes that are lost cannot come back, so a connection that lost some is cut. */
  unswallow(): void {
    if (this.state !== 'swallow') return;
    if (this.swallowed > 0 || this.server.destroyed || this.server.readableEnded) this.cut('manual');
    else this.state = 'open';
  }

  cut(cause: CutCause): void {
    if (this.state === 'cut') return;
    this.state = 'cut';
    this.stats.cuts[cause]++;
    this.client.destroy();
  }

  private expire(): void {
    if (this.state !== 'open') return;
    if (this.rng.chance(this.faults.halfOpenChance ?? 0)) this.halfOpen();
    else this.cut('lifetime');
  }

  private close(): void {
    clearTimeout(this.lifetime);
    this.state = 'cut';
    // Not destroy(): the server shall still read what was passed on to it before it learns of the end.
    this.server.end();
    this.server.resume();
    setTimeout(() => this.server.destroy(), 1_000).unref();
    this.onClosed();
  }

  private admitUp(chunk: Buffer): number {
    if (this.state !== 'open') return this.lose(chunk);
    if (this.upLeft === undefined) return chunk.length;
    const size = Math.min(chunk.length, this.upLeft);
    this.upLeft -= size;
    return size;
  }

  private passedUp(part: Buffer, complete: boolean): void {
    this.stats.bytesUp += part.length;
    if (this.state !== 'open') return;
    if (!complete || this.upLeft === 0) this.cut('upstream');
    else if (part.length > 0 && this.rng.chance(this.faults.cutAfterWriteChance ?? 0)) {
      this.state = 'dropping';
      setTimeout(() => { if (this.state === 'dropping') this.cut('afterWrite'); }, REPLY_GRACE_MS).unref();
    }
  }

  private admitDown(chunk: Buffer): number {
    if (this.state === 'dropping') {
      this.cut('afterWrite');
      return this.lose(chunk);
    }
    if (this.state !== 'open') return this.lose(chunk);
    if (this.downLeft === undefined) return chunk.length;
    const size = Math.min(chunk.length, this.downLeft);
    this.downLeft -= size;
    return size;
  }

  private passedDown(part: Buffer, complete: boolean): void {
    this.stats.bytesDown += part.length;
    if (this.state === 'open' && (!complete || this.downLeft === 0)) this.cut('downstream');
  }

  private lose(chunk: Buffer): number {
    if (this.state === 'swallow') {
      this.swallowed += chunk.length;
      this.stats.swallowedBytes += chunk.length;
    }
    return 0;
  }
}
