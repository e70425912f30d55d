import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { LedgerReader } from '../ledger/ledger-reader.js';
import { balances } from '../payments/bank.js';
import { Journal } from '../payments/journal.js';
import { judge, type Judgement, longest } from '../payments/judge.js';
import { BANK_KEYS, type BankMark } from '../payments/marks.js';
import { OwnerBoard } from '../payments/owner-board.js';
import { BOOKING, PARTITIONS, PAYMENTS, PREFETCH } from '../payments/payment.js';
import { PaymentStage } from '../payments/payment-stage.js';
import { renderPayments } from '../payments/payments-table.js';
import type { PaymentScenario } from '../scenarios/scenario.js';
import type { DemoServer } from '../server/server.js';
import type { Kept, Setting } from '../supervisor/scene.js';
import { sweep } from '../supervisor/sweep.js';
import { endedWell, type Verdict } from '../supervisor/verdict.js';
import { count, say, seconds } from '../ui/lines.js';
import type { Show } from './show.js';

const SETTLED_WITHIN_MS = 15_000;

/** Payments over partitions, owned by workers and booked at a bank. */
export class PaymentsShow implements Show {
  readonly producer = 'payer';
  readonly consumer = 'worker';
  readonly noun = 'payment';
  readonly drainMs = 20_000;
  readonly scene: PaymentStage;
  private readonly journal = new Journal();
  private readonly reader: LedgerReader<BankMark>;
  private readonly board: OwnerBoard;
  private readonly engine: RedisStreamsEngine;
  private readonly group;

  constructor(setting: Setting, private readonly scenario: PaymentScenario, private readonly bank: DemoServer) {
    const { server, service } = setting;
    this.reader = new LedgerReader(bank.url, BANK_KEYS.journal, this.journal);
    this.scene = new PaymentStage(setting, this.reader, this.journal, bank.url);
    this.board = new OwnerBoard(this.scene);
    this.reader.onMarks(() => this.board.look());
    // Without Nest, and not over the API, which may be gone by then.
    this.engine = new RedisStreamsEngine({ connection: { url: server.url } });
    this.group = { namespace: service, stream: PAYMENTS, group: BOOKING };
  }

  async follow(): Promise<void> {
    say('demo', 'bank', '', this.bank.about);
    await this.reader.start();
  }

  async open(): Promise<void> {
    const { scene, scenario } = this;
    const { consumers, rate, ttlMs } = scene.options;
    say('demo', scenario.name, '', `${scenario.about}; ${consumers} workers, ${rate} payments/s, session ttl ${seconds(ttlMs)}`);
    say('demo', 'partitions', '', Array.from({ length: PARTITIONS }, (_, partition) => String(partition).padEnd(3)).join(''));
    await Promise.all([scene.startApi(), ...Array.from({ length: consumers }, (_, i) => scene.startWorker(`w${i + 1}`))]);
    const settled = await scene.until(() => scene.isEven(), SETTLED_WITHIN_MS);
    scene.promise(`${consumers} workers shared ${PARTITIONS} partitions evenly before the first payment`, settled);
    await scene.startPayer();
  }

  play(): Promise<void> {
    return this.scenario.play(this.scene);
  }

  async left(): Promise<number> {
    const lags = await this.engine.partitions().lag(this.group);
    return lags.reduce((sum, { lag }) => sum + (lag < 0 ? 1 : lag), 0);
  }

  finish(): Promise<void> {
    return this.reader.finish();
  }

  table(): Promise<string> {
    return renderPayments(this.scene);
  }

  async judge(interrupted: boolean): Promise<Verdict> {
    const { scene, scenario, journal } = this;
    const lags = await this.engine.partitions().lag(this.group);
    const found = judge(journal, {
      from: scene.startedAt, until: scene.drainedAt, balances: await balances(this.bank.url),
      positions: new Map(lags.map(({ partition, position = '0-0' }) => [partition, position])),
    });
    const { figures, open, reruns, stale, problems } = found;
    if (open > 0) say('demo', 'left', '', `${count(open, 'payment')} neither booked nor committed`);
    return {
      scenario: scenario.name,
      promises: [...scene.promises, ...common(found, interrupted), ...this.pauses(found), endedWell(scene.cast.surprises)],
      interrupted,
      figures: { ...figures, reruns, stale },
      problems,
      closing: { ...figures },
    };
  }

  sweep(): Promise<void> {
    return sweep(this.scene.server.url, `{${this.scene.service}:*`);
  }

  async close(): Promise<void> {
    this.board.close();
    this.reader.close();
    await this.engine.stop();
    await this.bank.close();
  }

  private pauses({ moves }: Judgement): Kept[] {
    const { takeoverBoundMs, handOverBoundMs } = this.scene;
    const handed = longest(moves.filter(({ clean }) => clean)), taken = longest(moves.filter(({ clean }) => !clean));
    return [
      { promise: `no partition that was handed over stood still for longer than ${seconds(handOverBoundMs)} (${seconds(handed)})`, ok: handed <= handOverBoundMs },
      { promise: `no partition of a dead worker stood still for longer than ${seconds(takeoverBoundMs)} (${seconds(taken)})`, ok: taken <= takeoverBoundMs },
    ];
  }
}

/** What every run promises of its payments, whatever else it shows. */
function common({ figures, open, reruns, leftBehind }: Judgement, mayLeaveOpen: boolean): Kept[] {
  const { sent, processed, lost, inversions, duplicatedEffects } = figures;
  const bound = leftBehind * PREFETCH;
  return [
    { promise: `every payment was booked (${processed} of ${sent}): none was lost (${lost}) and none is left over (${open})`, ok: lost === 0 && (mayLeaveOpen || (sent > 0 && open === 0)) },
    { promise: `every account's payments were booked in their order (${inversions} out of it)`, ok: inversions === 0 },
    { promise: `no payment took effect twice (${duplicatedEffects}), and every balance is the sum of its account's payments`, ok: duplicatedEffects === 0 },
    { promise: `payments ran again only where a worker had died: ${reruns}, at most ${PREFETCH} per partition it left behind (${bound})`, ok: reruns <= bound },
  ];
}
