import { dim, green, yellow } from '../ui/colors.js';
import { line } from '../ui/lines.js';
import type { Tally } from './tally.js';

const EVERY_MS = 1_000;
const WIDTH = 30;

/** A line a second: how far sending (light) and doing (dark) have come, and how fast. */
export class Progress {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly tally: Tally, private readonly messages: number) {}

  start(): void {
    this.timer = setInterval(() => this.show(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  show(): void {
    const { sent, done, rate } = this.tally;
    const cells = (part: number): number => Math.min(WIDTH, Math.round((part / this.messages) * WIDTH));
    const dark = cells(done), light = Math.max(0, cells(sent) - dark);
    const bar = `${green('█'.repeat(dark))}${yellow('▒'.repeat(light))}${dim('·'.repeat(WIDTH - dark - light))}`;
    const percent = `${Math.round((done / this.messages) * 100)} %`.padStart(5);
    line('demo', 'progress', bar, `${percent}  ${Math.round(rate).toLocaleString('en').padStart(7)}/s  ${dim(`sent ${sent.toLocaleString('en')}, done ${done.toLocaleString('en')}`)}`);
  }
}
