import { Audit } from '../shop/audit.js';
import { judge, type Judgement } from '../shop/judge.js';
import { PREFETCH, SERVICES } from '../shop/shop-order.js';
import { ShopStage } from '../shop/shop-stage.js';
import { renderShop, ShopProgress } from '../shop/shop-table.js';
import { Shoppers } from '../shop/shoppers.js';
import type { ShopScenario } from '../scenarios/scenario.js';
import type { DemoServer } from '../server/server.js';
import type { Kept, Setting } from '../supervisor/scene.js';
import { sweep } from '../supervisor/sweep.js';
import { endedWell, type Verdict } from '../supervisor/verdict.js';
import { say, seconds } from '../ui/lines.js';
import type { Show } from './show.js';

const APIS = ['a1', 'a2'];

/** Orders by HTTP, from there as events and requests to microservices, which write down in a register what they did. */
export class ShopShow implements Show {
  readonly producer = 'api';
  readonly consumer = 'microservice';
  readonly noun = 'event';
  readonly drainMs = 20_000;
  readonly scene: ShopStage;
  private readonly audit: Audit;
  private readonly shoppers: Shoppers;
  private readonly progress: ShopProgress;

  constructor(private readonly setting: Setting, private readonly scenario: ShopScenario, private readonly register: DemoServer) {
    this.audit = new Audit(register.url);
    this.shoppers = new Shoppers(this.audit, setting.options.rate);
    this.scene = new ShopStage(setting, this.audit, this.shoppers, register.url);
    this.progress = new ShopProgress(this.scene);
  }

  async follow(): Promise<void> {
    say('demo', 'register', '', this.register.about);
    await this.audit.start();
  }

  async open(): Promise<void> {
    const { scene, scenario, shoppers } = this;
    const { rate, ttlMs } = scene.options;
    say('demo', scenario.name, '', scenario.about);
    say('demo', 'load', '', `${rate} orders and ${rate} requests a second by HTTP; session ttl ${seconds(ttlMs)}`);
    await Promise.all([scene.startService('o1', 'orders'), scene.startService('o2', 'orders'), scene.startService('m1', 'mailing'), ...APIS.map((name) => scene.startNamedApi(name))]);
    shoppers.start(scene.apis);
    this.progress.start();
  }

  async play(): Promise<void> {
    try {
      await this.scenario.play(this.scene);
    } finally {
      await this.shoppers.stop();
    }
  }

  async left(): Promise<number> {
    return [...this.shoppers.placed].filter((id) => SERVICES.some((service) => !this.audit.has(service, id))).length;
  }

  async finish(): Promise<void> {
    this.progress.stop();
    await this.audit.finish();
    this.progress.show();
  }

  async table(): Promise<string> {
    return renderShop(this.scene);
  }

  async judge(interrupted: boolean): Promise<Verdict> {
    const { scene, scenario, audit, shoppers } = this;
    const found = judge({
      placed: shoppers.placed, handled: audit.handled, requests: shoppers.requests, answersMs: shoppers.answers.map(({ ms }) => ms), failures: shoppers.failures, killed: scene.killed,
    });
    return {
      scenario: scenario.name,
      promises: [...scene.promises, ...this.common(found, interrupted), endedWell(scene.cast.surprises)],
      interrupted,
      figures: { ...found.figures },
      problems: found.problems,
      closing: { ...found.figures },
    };
  }

  async sweep(): Promise<void> {
    const { server: { url }, service } = this.setting;
    await sweep(url, `{queue:${service}:*`);
    await sweep(url, `{transport:${service}*`);
  }

  async close(): Promise<void> {
    this.progress.stop();
    this.audit.close();
    await this.register.close();
  }

  /** What every run promises of its events and requests, whatever else it shows. */
  private common({ figures, needless }: Judgement, interrupted: boolean): Kept[] {
    const { scene, shoppers } = this;
    const { events, handled, lost, requests, answered, failed, reruns } = figures;
    const bound = scene.killed.size * PREFETCH;
    const slowest = shoppers.answers.reduce((max, { ms }) => Math.max(max, ms), 0);
    return [
      { promise: `every event placed (${events}) was handled by ${SERVICES.map((service) => `${service} (${handled[service]})`).join(' and by ')}; lost: ${lost}`, ok: lost === 0 && (interrupted || events > 0) },
      { promise: `every request was answered (${answered} of ${requests}) as it should be, ${failed} calls failed; the slowest answer took ${seconds(slowest)}, at most ${seconds(scene.takeoverBoundMs)}`, ok: answered === requests && failed === 0 && slowest <= scene.takeoverBoundMs },
      { promise: `events were handled again only where an instance had been killed: ${reruns}, at most the ${PREFETCH} it held (${bound}); needlessly: ${needless}`, ok: reruns <= bound && needless === 0 },
    ];
  }
}
