import type { BlockingChannel } from '../redis/blocking-channel.js';
import { sleep } from '../redis/sleep.js';
import { LeaseStore } from './store.js';

const BLOCK_MS = 2_000;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 1_000;

export interface WaiterHost {
  /** Resolves when there is room and nothing is left to fetch by other means. */
  idle(): Promise<void>;
  session(): string | undefined;
  offered(ids: readonly string[]): void;
  trouble(error: Error, retryInMs: number, failures: number): void;
  recovered(failures: number, downMs: number): void;
}

/**
 * Waits for new announcements with XREADGROUP BLOCK COUNT 1. The server serves blocked readers first come,
 * first served, so a new stream wakes one consumer and goes round them all. What it delivers is an *offer*:
 * pending for us, but owned only once `acquire` has granted it.
 */
export class Waiter {
  private stopped = false;
  private channel: BlockingChannel | undefined;
  private loop: Promise<void> | undefined;
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: LeaseStore,
    private readonly open: () => BlockingChannel,
    private readonly host: WaiterHost,
  ) {}

  start(): void {
    this.loop ??= this.run();
  }

  /** Breaks a read that was made for a session that is over: it must not be served to a dead consumer. */
  interrupt(): void {
    this.channel?.close();
    this.channel = undefined;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.stopping.abort();
    this.interrupt();
    await this.loop;
  }

  private async run(): Promise<void> {
    const { lbs, group } = this.store.keys;
    let failures = 0;
    let since = 0;
    while (!this.stopped) {
      await this.host.idle();
      const session = this.host.session();
      if (this.stopped || !session) continue;
      const channel = (this.channel ??= this.open());
      try {
        const reply = await channel.call('XREADGROUP', ['GROUP', group, session, 'COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', lbs, '>'], BLOCK_MS);
        if (failures > 0) this.host.recovered(failures, performance.now() - since);
        failures = 0;
        const ids = LeaseStore.idsOf(reply);
        if (ids.length > 0 && this.host.session() === session) this.host.offered(ids);
      } catch (error) {
        if (this.stopped) return;
        if (this.channel !== channel) continue; // interrupted on purpose
        if (failures++ === 0) since = performance.now();
        const delay = Math.round(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1)) * (1 + Math.random() * 0.25));
        this.host.trouble(error as Error, delay, failures);
        await sleep(delay, this.stopping.signal);
      }
    }
  }
}
