import type { Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';

/** What a lock-step handler's process reports: moments at which it had handled so many, and its CPU between them. */
export interface Stepped {
  readonly warmAt: number;
  readonly endAt: number;
  readonly cpuUs: number;
}

/** Numbers of each room must rise by one from message to message: lock-step loses and repeats nothing. */
export class RoomMeter {
  private readonly last = new Map<string, number>();
  private seen = 0;
  private warmAt = 0;
  private cpu: NodeJS.CpuUsage | undefined;

  constructor(
    private readonly warm: number,
    private readonly total: number,
    private readonly done: (stepped: Stepped) => void,
  ) {}

  see(room: string, { n }: Payment): void {
    const last = this.last.get(room);
    if (last !== undefined && n !== last + 1) throw new Error(`${room}: ${n} after ${last}`);
    this.last.set(room, n);
    this.seen++;
    if (this.seen === this.warm) {
      this.warmAt = sharedNow();
      this.cpu = process.cpuUsage();
    }
    if (this.seen !== this.total) return;
    const { user, system } = process.cpuUsage(this.cpu);
    this.done({ warmAt: this.warmAt, endAt: sharedNow(), cpuUs: user + system });
  }
}
