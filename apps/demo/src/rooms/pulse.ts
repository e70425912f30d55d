import { dim, green, red } from '../ui/colors.js';
import { line, seconds } from '../ui/lines.js';
import type { RoomStage } from './room-stage.js';
import { ROOMS } from './room.js';

const EVERY_MS = 1_000;
const STALLED_MS = 300;

/** One line a second: how far every room is, and whether its clients are in step. */
export class Pulse {
  private readonly last = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stage: RoomStage) {}

  start(): void {
    this.timer = setInterval(() => this.beat(), EVERY_MS);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    const { journal, clients } = this.stage;
    const rooms = ROOMS.map((room) => {
      const { tick, seenAt } = journal.progress(room);
      const more = tick - (this.last.get(room) ?? 0), still = Date.now() - seenAt;
      this.last.set(room, tick);
      return `${room} ${String(tick).padStart(4)} ${tick > 0 && still > STALLED_MS ? red(`still for ${seconds(still)}`.padEnd(18)) : green(`+${more}`.padEnd(18))}`;
    });
    const inside = clients.filter((client) => client.isIn).length;
    line('demo', 'ticks', '', `${rooms.join(' ')} ${dim(`${inside} of ${clients.length} clients in`)}`);
  }
}
