import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { type DisownedStream, FencedError, OnStreamAssigned, OnStreamDisowned, RedisStreamsEvents, type StreamLease } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { LedgerWriter, runOf } from '../ledger/ledger-writer.js';
import { consumerOf } from '../ledger/marks.js';
import { DataStreams } from '../orders/data-streams.js';
import { type OrderInfo, workMs } from '../orders/order.js';
import { say, seconds } from '../ui/lines.js';

const config = readConfig();

/** Works off order streams: the part of the demo that an application would write. */
@Injectable()
export class OrderConsumer {
  constructor(private readonly data: DataStreams, private readonly ledger: LedgerWriter, events: RedisStreamsEvents) {
    events.on('lease.released', (event) => {
      say(consumerOf(event.owner), 'handed on', event.stream, `to a peer (${event.reason})`);
    });
  }

  @OnStreamAssigned(config.service)
  async process(lease: StreamLease<OrderInfo>): Promise<void> {
    const startedAt = performance.now();
    const total = await this.begin(lease);
    try {
      await this.work(lease, total);
    } catch (error) {
      // The library now hands the stream to a peer: shutdown or rebalance. (A lost lease says `disowned` instead.)
      if (lease.signal.aborted) await this.ledger.write({ mark: 'released', ...runOf(lease) });
      throw error;
    }
    await this.complete(lease, performance.now() - startedAt);
  }

  @OnStreamDisowned(config.service)
  async disowned(event: DisownedStream): Promise<void> {
    say(consumerOf(event.owner), 'disowned', event.stream, `${event.reason}: a peer owns it now`);
    const { entryId: entry, stream, token, owner, reason } = event;
    await this.ledger.write({ mark: 'disowned', entry, stream, token, owner, reason });
  }

  private async begin(lease: StreamLease<OrderInfo>): Promise<number> {
    const me = consumerOf(lease.owner);
    const { priority, amount } = lease.info;
    // Told before anything else: the time of the take-over is measured to this line.
    const marked = this.ledger.write({ mark: 'assigned', ...runOf(lease), at: Date.now(), recovered: lease.recovered, from: lease.previousOwner ?? '' });
    const total = await this.data.length(lease.stream);
    const from = consumerOf(lease.previousOwner ?? '');
    if (lease.recovered) say(me, 'claimed', lease.stream, from === '' ? 'from a dead consumer that had not begun it' : `from ${from}, attempt ${lease.attempt}`);
    else if (!config.quiet) say(me, 'assigned', lease.stream, from === '' ? `${priority}, $${Number(amount).toFixed(2)}` : `handed on by ${from}`);
    if (!config.quiet) {
      const where = lease.lastCheckpoint === undefined ? `${total} entries` : `${total} entries, from checkpoint ${lease.lastCheckpoint}`;
      say(me, 'processing', lease.stream, `${where}, takes ${seconds(workMs(priority, config.speed))}`);
    }
    await marked;
    return total;
  }

  /** The order's time is spread over its entries, so a consumer that takes over has the rest to do, not all of it. */
  private async work(lease: StreamLease<OrderInfo>, total: number): Promise<void> {
    const each = workMs(lease.info.priority, config.speed) / Math.max(1, total);
    for await (const entry of lease.entries({ idleMs: 0 })) {
      await pause(each, undefined, { signal: lease.signal });
      await lease.checkpoint(entry.id);
    }
  }

  private async complete(lease: StreamLease<OrderInfo>, ms: number): Promise<void> {
    const run = runOf(lease);
    await this.ledger.write({ mark: 'finishing', ...run });
    try {
      await lease.done();
    } catch (error) {
      if (error instanceof FencedError) await this.ledger.write({ mark: 'refused', ...run });
      throw error;
    }
    await this.ledger.write({ mark: 'accepted', ...run, ms });
    // Only now: before `done()` was accepted, somebody else might still have had to read it.
    await this.data.remove(lease.stream);
    if (!config.quiet) say(consumerOf(lease.owner), 'completed', lease.stream, `in ${seconds(ms)}`);
  }
}
