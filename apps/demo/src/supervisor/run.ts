import { randomBytes } from 'node:crypto';
import { DEFAULTS } from '../config.js';
import { startBank } from '../payments/bank-server.js';
import { everyday } from '../scenarios/everyday.js';
import type { Scenario } from '../scenarios/scenario.js';
import { findServer } from '../server/find-server.js';
import { publish } from '../server/rendezvous.js';
import { JobsShow } from '../shows/jobs-show.js';
import { OrdersShow } from '../shows/orders-show.js';
import { PaymentsShow } from '../shows/payments-show.js';
import { RoomsShow } from '../shows/rooms-show.js';
import { ShopShow } from '../shows/shop-show.js';
import type { Show } from '../shows/show.js';
import { count, say, seconds } from '../ui/lines.js';
import { Interrupt, Interrupted } from './interrupt.js';
import type { RunOptions } from './run-options.js';
import type { Setting } from './scene.js';
import { printVerdict, writeSummary, type Verdict } from './verdict.js';

const TABLE_MS = 10_000;
const STOP_WITHIN_MS = 10_000;
const DRAIN_AFTER_INTERRUPT_MS = 10_000;

/** The whole demo, from the server to the verdict. @returns the exit code. */
export async function runDemo(scenario: Scenario | undefined, given: Partial<RunOptions>): Promise<number> {
  const server = await findServer();
  say('demo', 'server', '', server.about);
  const play = scenario ?? everyday;
  const options: RunOptions = {
    consumers: 3, rate: DEFAULTS.rate, messages: DEFAULTS.messages, speed: 1, ttlMs: DEFAULTS.ttlMs, handOver: DEFAULTS.handOver, quiet: false, host: DEFAULTS.host,
    port: scenario ? 0 : DEFAULTS.port, seconds: undefined, summary: undefined, slackMs: 0, ...play.defaults(server.kind), ...given,
  };
  // Scenarios are judged, so nobody else's work may be among theirs.
  const service = scenario ? `${scenario.kind ?? 'orders'}-${randomBytes(3).toString('hex')}` : DEFAULTS.service;
  const interrupt = new Interrupt(() => {
    say('demo', 'killed', '', 'ending at once');
    process.exit(130); // every child is guarded: it ends with this process
  });
  let show: Show | undefined;
  try {
    show = await stage(play, { options, server, service, interrupted: interrupt.signal });
    if (!scenario) publish({ url: server.url, service });
    const verdict = await perform(show, interrupt);
    printVerdict(verdict);
    if (options.summary !== undefined) writeSummary(options.summary, show.scene, verdict);
    if (scenario && server.kind === 'given') await show.sweep();
    if (verdict.promises.some(({ ok }) => !ok)) return 1;
    return interrupt.happened && scenario ? 130 : 0;
  } finally {
    await show?.scene.cast.killAll();
    await show?.close();
    await server.close();
    interrupt.close();
  }
}

async function stage(play: Scenario, setting: Setting): Promise<Show> {
  switch (play.kind) {
    case 'payments':
      return new PaymentsShow(setting, play, await startBank());
    case 'rooms':
      return new RoomsShow(setting, play);
    case 'jobs':
      return new JobsShow(setting, play, await startBank());
    case 'shop':
      return new ShopShow(setting, play, await startBank());
    default:
      return new OrdersShow(setting, play);
  }
}

async function perform(show: Show, interrupt: Interrupt): Promise<Verdict> {
  const { scene } = show;
  const { cast } = scene;
  await show.follow();
  const table = setInterval(() => void print(show), TABLE_MS);
  let interrupted = false;
  try {
    await show.open();
    scene.startedAt = Date.now();
    await show.play();
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    interrupted = true;
  } finally {
    clearInterval(table);
  }
  interrupted ||= interrupt.happened;
  scene.wakeAll();
  await cast.stop(show.producer, STOP_WITHIN_MS);
  await drain(show, interrupt);
  scene.drainedAt = Date.now();
  await cast.stop(show.consumer, STOP_WITHIN_MS);
  await show.finish();
  await print(show);
  await cast.stop('api', STOP_WITHIN_MS);
  return show.judge(interrupted);
}

/** Consumers finish what there is. After a Ctrl-C people wait, so not for long. */
async function drain(show: Show, interrupt: Interrupt): Promise<void> {
  const startedAt = Date.now();
  const bound = (): number => (interrupt.happened ? Math.min(show.drainMs, DRAIN_AFTER_INTERRUPT_MS) : show.drainMs);
  let left = await show.left();
  if (left > 0) say('demo', 'draining', '', `${count(left, show.noun)} in work or waiting, up to ${seconds(bound())}${interrupt.happened ? ' (Ctrl-C again: at once)' : ''}`);
  while (left > 0 && Date.now() < startedAt + bound()) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = await show.left();
  }
}

async function print(show: Show): Promise<void> {
  process.stdout.write(`${await show.table()}\n`);
}
