import { Accounts } from '../ledger/accounts.js';
import type { Judgement } from '../ledger/judge.js';
import { LedgerReader } from '../ledger/ledger-reader.js';
import { ledgerKey, type Mark } from '../ledger/marks.js';
import { everyday } from '../scenarios/everyday.js';
import type { OrderScenario } from '../scenarios/scenario.js';
import { Aftermath } from '../supervisor/aftermath.js';
import { figuresByConsumer } from '../supervisor/figures.js';
import type { Kept, Setting } from '../supervisor/scene.js';
import { Stage } from '../supervisor/stage.js';
import { renderTable } from '../supervisor/table.js';
import { takeovers } from '../supervisor/takeovers.js';
import { endedWell, type Verdict } from '../supervisor/verdict.js';
import { count, say, seconds } from '../ui/lines.js';
import type { Show } from './show.js';

const TABLE_MS = 10_000;

/** Order streams, leased to consumers. */
export class OrdersShow implements Show {
  readonly producer = 'producer';
  readonly consumer = 'consumer';
  readonly noun = 'stream';
  readonly scene: Stage;
  private readonly accounts = new Accounts();
  private readonly ledger: LedgerReader<Mark>;
  private readonly aftermath: Aftermath;

  constructor(setting: Setting, private readonly scenario: OrderScenario) {
    const { server, service } = setting;
    this.ledger = new LedgerReader(server.url, ledgerKey(service), this.accounts);
    this.aftermath = new Aftermath(server.url, service);
    this.scene = new Stage(setting, this.ledger, this.accounts);
  }

  get drainMs(): number {
    return 20_000 + 8_000 / this.scene.options.speed;
  }

  follow(): Promise<void> {
    return this.ledger.start();
  }

  async open(): Promise<void> {
    const { scene, scenario } = this;
    const { consumers, rate, ttlMs, speed } = scene.options;
    const work = speed === 1 ? '' : `, work ${speed} times as fast`;
    say('demo', scenario.name, '', `${scenario.about}; ${consumers} consumers, ${rate} streams/s, session ttl ${seconds(ttlMs)}${work}`);
    await Promise.all([scene.startApi(), ...Array.from({ length: consumers }, (_, i) => scene.startConsumer(`c${i + 1}`))]);
    await firstOrder(scene.apiUrl);
    await scene.startProducer();
    if (scenario === everyday) {
      say('demo', 'try', '', `curl -X POST ${scene.apiUrl}/streams -H 'content-type: application/json' -d '{"priority":"high"}'`);
      say('demo', 'try', '', 'npm run demo:consumer -- --name c9    in another terminal; Ctrl-C here ends gracefully');
      say('demo', 'try', '', 'npm run demo -- --scenario rooms       web sockets in lock-step over two API instances; --help names the others');
    }
  }

  play(): Promise<void> {
    return this.scenario.play(this.scene);
  }

  left(): Promise<number> {
    return this.aftermath.open();
  }

  finish(): Promise<void> {
    return this.ledger.finish();
  }

  async table(): Promise<string> {
    return renderTable({ states: this.scene.fates(), figures: figuresByConsumer(this.accounts, TABLE_MS), stats: await this.scene.stats() });
  }

  async judge(interrupted: boolean): Promise<Verdict> {
    const { scene, scenario, accounts } = this;
    const found = await this.aftermath.judge(accounts);
    if (found.unfinished > 0) {
      const fate = scene.server.kind === 'given' ? 'and the next consumer takes them' : 'but this server ends with the demo';
      say('demo', 'left', '', `${count(found.unfinished, 'unfinished stream')} stay announced in Redis, ${fate}`);
    }
    const { problems, ...counters } = found;
    const perConsumer = Object.fromEntries([...figuresByConsumer(accounts, 0)].toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
      .map(([name, { completed, meanMs, p95Ms }]) => [name, { completed, meanMs, p95Ms }]));
    return {
      scenario: scenario.name,
      promises: [...scene.promises, ...common(found, interrupted), endedWell(scene.cast.surprises)],
      interrupted: interrupted && scenario !== everyday,
      figures: {
        ...counters,
        takeovers: takeovers(accounts, scene.faults),
        disowned: [...accounts.runs()].filter(({ run }) => run.disowned).length,
        perConsumer,
      },
      problems,
    };
  }

  sweep(): Promise<void> {
    return this.aftermath.sweep(this.accounts);
  }

  async close(): Promise<void> {
    await this.aftermath.close();
    this.ledger.close();
  }
}

/** What every run promises of its streams, whatever else it shows. */
function common(found: Judgement, mayLeaveOpen: boolean): Kept[] {
  const { announced, completed, completedTwice, lost, unfinished } = found;
  return [
    { promise: `every announced stream was completed exactly once (${completed} of ${announced}${completedTwice > 0 ? `, ${completedTwice} twice` : ''})`,
      ok: announced > 0 && completedTwice === 0 && (completed === announced || (mayLeaveOpen && completed + unfinished === announced)) },
    { promise: `nothing was lost (${lost}) and nothing is left over (${unfinished})`, ok: lost === 0 && (mayLeaveOpen || unfinished === 0) },
  ];
}

/** One order comes the way an application's would: over HTTP. */
async function firstOrder(url: string): Promise<void> {
  const response = await fetch(`${url}/streams`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"priority":"normal"}' });
  if (response.status !== 201) throw new Error(`POST ${url}/streams answered ${response.status}: ${await response.text()}`);
  const { stream } = (await response.json()) as { stream: string };
  say('api', 'announced', stream, 'by POST /streams');
}
