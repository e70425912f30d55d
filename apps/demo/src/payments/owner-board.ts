import { dim, nameColor, red } from '../ui/colors.js';
import { byName } from '../ui/grid.js';
import { line } from '../ui/lines.js';
import type { PaymentStage } from './payment-stage.js';
import { PARTITIONS } from './payment.js';

/** Moves of one rebalance come in several marks; people want to see it once. */
const SETTLE_MS = 80;
const NOBODY = '--';

/** One line per change: who owns partitions 0, 1, 2, ... */
export class OwnerBoard {
  private shown = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stage: PaymentStage) {}

  /** Something may have changed. */
  look(): void {
    this.timer ??= setTimeout(() => this.show(), SETTLE_MS);
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private show(): void {
    this.timer = undefined;
    const owners = Array.from({ length: PARTITIONS }, (_, partition) => this.stage.ownerOf(partition) ?? NOBODY);
    const text = owners.join(' ');
    if (text === this.shown) return;
    this.shown = text;
    const shares = [...new Set(owners)].toSorted(byName).map((owner) => `${owner === NOBODY ? 'nobody' : owner} ${owners.filter((name) => name === owner).length}`);
    line('demo', 'owners', '', `${owners.map((owner) => (owner === NOBODY ? red : nameColor(owner))(owner.padEnd(3))).join('')} ${dim(shares.join(', '))}`);
  }
}
