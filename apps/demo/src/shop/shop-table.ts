import { renderGrid, sumOf } from '../ui/grid.js';
import { line } from '../ui/lines.js';
import { SERVICES } from './shop-order.js';
import type { ShopStage } from './shop-stage.js';

const EVERY_MS = 1_000;

/** Who has answered and handled how much. */
export function renderShop(stage: ShopStage): string {
  const rows = [...stage.fates()].map(([name, state]) => [name, state, String(stage.shoppers.by.get(name) ?? 0), String(stage.handledBy(name))]);
  const { placed, answers, requests } = stage.shoppers;
  return renderGrid({ head: ['process', 'state', 'HTTP calls', 'events handled'], texts: 2, rows, total: ['all', '', sumOf(rows, 2), sumOf(rows, 3)], foot: `orders placed ${placed.size}; requests ${requests}, answered ${answers.length}` });
}

/** A line a second: how far events and requests are. */
export class ShopProgress {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stage: ShopStage) {}

  start(): void {
    this.timer = setInterval(() => this.show(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  show(): void {
    const { audit, shoppers: { placed, answers, requests } } = this.stage;
    const since = Date.now() - EVERY_MS;
    const slowest = answers.reduce((max, { at, ms }) => (at + ms >= since ? Math.max(max, ms) : max), 0);
    line('demo', 'progress', `placed ${placed.size}`, `${SERVICES.map((service) => `${service} ${audit.countOf(service)}`).join(', ')}; requests ${requests}, answered ${answers.length}, slowest of late ${Math.round(slowest)} ms`);
  }
}
