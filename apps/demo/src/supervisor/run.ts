import { randomBytes } from 'node:crypto';
import { DEFAULTS } from '../config.js';
import { LedgerReader } from '../ledger/ledger-reader.js';
import { everyday } from '../scenarios/everyday.js';
import type { Scenario } from '../scenarios/scenario.js';
import { findServer } from '../server/find-server.js';
import { publish } from '../server/rendezvous.js';
import { count, say, seconds } from '../ui/lines.js';
import { Aftermath } from './aftermath.js';
import { figuresByConsumer } from './figures.js';
import { Interrupt, Interrupted } from './interrupt.js';
import type { RunOptions } from './run-options.js';
import { Stage } from './stage.js';
import { renderTable } from './table.js';
import { common, printVerdict, writeSummary, type Verdict } from './verdict.js';

const TABLE_MS = 10_000;
const STOP_WITHIN_MS = 10_000;
const DRAIN_AFTER_INTERRUPT_MS = 10_000;

/** The whole demo, from the server to the verdict. @returns the exit code. */
export async function runDemo(scenario: Scenario | undefined, given: Partial<RunOptions>): Promise<number> {
  const server = await findServer();
  say('demo', 'server', '', server.about);
  const play = scenario ?? everyday;
  const options: RunOptions = {
    consumers: 3, rate: DEFAULTS.rate, speed: 1, ttlMs: DEFAULTS.ttlMs, handOver: DEFAULTS.handOver, quiet: false, host: DEFAULTS.host,
    port: scenario ? 0 : DEFAULTS.port, seconds: undefined, summary: undefined, ...play.defaults(server.kind), ...given,
  };
  // Scenarios are judged, so nobody else's streams may be among theirs.
  const service = scenario ? `orders-${randomBytes(3).toString('hex')}` : DEFAULTS.service;
  const interrupt = new Interrupt(() => {
    say('demo', 'killed', '', 'ending at once');
    process.exit(130); // every child is guarded: it ends with this process
  });
  const ledger = new LedgerReader(server.url, service);
  const aftermath = new Aftermath(server.url, service);
  const stage = new Stage(options, server, service, ledger, interrupt.signal);
  if (!scenario) publish({ url: server.url, service });
  try {
    const verdict = await perform(stage, play, aftermath, interrupt);
    printVerdict(verdict);
    if (options.summary !== undefined) writeSummary(options.summary, stage, verdict);
    if (scenario && server.kind === 'given') await aftermath.sweep(ledger.accounts);
    if (verdict.promises.some(({ ok }) => !ok)) return 1;
    return interrupt.happened && scenario ? 130 : 0;
  } finally {
    await stage.cast.killAll();
    await aftermath.close();
    ledger.close();
    await server.close();
    interrupt.close();
  }
}

async function perform(stage: Stage, play: Scenario, aftermath: Aftermath, interrupt: Interrupt): Promise<Verdict> {
  const { options, cast, ledger } = stage;
  await ledger.start();
  const table = setInterval(() => void showTable(stage), TABLE_MS);
  let interrupted = false;
  try {
    await open(stage, play);
    stage.startedAt = Date.now();
    await play.play(stage);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    interrupted = true;
  } finally {
    clearInterval(table);
  }
  interrupted ||= interrupt.happened;
  await cast.stop('producer', STOP_WITHIN_MS);
  await drain(aftermath, 20_000 + 8_000 / options.speed, interrupt);
  await cast.stop('consumer', STOP_WITHIN_MS);
  await ledger.finish();
  await showTable(stage);
  await cast.stop('api', STOP_WITHIN_MS);
  const found = await aftermath.judge(ledger.accounts);
  if (found.unfinished > 0) {
    const fate = stage.server.kind === 'given' ? 'and the next consumer takes them' : 'but this server ends with the demo';
    say('demo', 'left', '', `${count(found.unfinished, 'unfinished stream')} stay announced in Redis, ${fate}`);
  }
  return { scenario: play.name, found, promises: [...stage.promises, ...common(found, cast.surprises, interrupted)], interrupted: interrupted && play !== everyday };
}

async function open(stage: Stage, play: Scenario): Promise<void> {
  const { options } = stage;
  const work = options.speed === 1 ? '' : `, work ${options.speed} times as fast`;
  say('demo', play.name, '', `${play.about}; ${options.consumers} consumers, ${options.rate} streams/s, session ttl ${seconds(options.ttlMs)}${work}`);
  await Promise.all([stage.startApi(), ...Array.from({ length: options.consumers }, (_, i) => stage.startConsumer(`c${i + 1}`))]);
  await firstOrder(stage.apiUrl);
  await stage.startProducer();
  if (play === everyday) {
    say('demo', 'try', '', `curl -X POST ${stage.apiUrl}/streams -H 'content-type: application/json' -d '{"priority":"high"}'`);
    say('demo', 'try', '', 'npm run demo:consumer -- --name c9    in another terminal; Ctrl-C here ends gracefully');
  }
}

/** One order comes the way an application's would: over HTTP. */
async function firstOrder(url: string): Promise<void> {
  const response = await fetch(`${url}/streams`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"priority":"normal"}' });
  if (response.status !== 201) throw new Error(`POST ${url}/streams answered ${response.status}: ${await response.text()}`);
  const { stream } = (await response.json()) as { stream: string };
  say('api', 'announced', stream, 'by POST /streams');
}

/** Consumers finish what there is. After a Ctrl-C people wait, so not for long. */
async function drain(aftermath: Aftermath, withinMs: number, interrupt: Interrupt): Promise<void> {
  const startedAt = Date.now();
  const bound = (): number => (interrupt.happened ? Math.min(withinMs, DRAIN_AFTER_INTERRUPT_MS) : withinMs);
  let left = await aftermath.open();
  if (left > 0) say('demo', 'draining', '', `${count(left, 'stream')} in work or waiting, up to ${seconds(bound())}${interrupt.happened ? ' (Ctrl-C again: at once)' : ''}`);
  while (left > 0 && Date.now() < startedAt + bound()) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = await aftermath.open();
  }
}

async function showTable(stage: Stage): Promise<void> {
  const states = new Map([...stage.states].map(([name, state]) => [name, stage.cast.members.get(name)?.ended && state !== 'killed' ? 'ended' : state]));
  process.stdout.write(`${renderTable({ states, figures: figuresByConsumer(stage.ledger.accounts, TABLE_MS), stats: await stage.stats() })}\n`);
}
