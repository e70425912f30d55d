import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { FanoutService } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { ROOMS, type Tick } from '../rooms/room.js';
import { say } from '../ui/lines.js';

const END_WITHIN_MS = 5_000;

/** Moves rooms on: the next tick is sent when all have acknowledged this one, and not before its time. */
@Injectable()
export class Ticks {
  sent = 0;
  private readonly everyMs = 1_000 / readConfig().rate;
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();

  constructor(private readonly fanout: FanoutService) {}

  start(): void {
    this.running = Promise.all(ROOMS.map((room) => this.run(room)));
  }

  /** Sends no more; what was sent last is acknowledged. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.race([this.running, pause(END_WITHIN_MS, undefined, { ref: false })]);
  }

  private async run(room: string): Promise<void> {
    const { signal } = this.stopping;
    let without: readonly string[] = [];
    for (let tick = 1; !signal.aborted; tick++) {
      const at = Date.now();
      const data: Tick = { tick, at, without };
      try {
        without = (await this.fanout.send(room, data, { await: 'acked' })).ejected;
        this.sent++;
        if (without.length > 0) say('ticker', 'went on', room, `without ${without.join(', ')} after ${Date.now() - at} ms`);
      } catch (error) {
        say('ticker', 'error', room, `tick ${tick}: ${String(error)}`);
      }
      await pause(Math.max(0, at + this.everyMs - Date.now()), undefined, { signal }).catch(() => undefined);
    }
  }
}
