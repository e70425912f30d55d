import type { Audit } from './audit.js';
import type { ShopOrder } from './shop-order.js';

const TURN_MS = 10;
const GIVE_UP_MS = 30_000;
/** Calls that may be open at once; beyond, shoppers wait, as people do. */
const MAX_OPEN = 64;
/** Every so manieth request is for an order that does not exist. */
const UNKNOWN_EVERY = 10;

/** What became of a request. */
export interface Answer {
  readonly at: number;
  readonly ms: number;
}

/** Load by HTTP: places orders and asks for those that the order service has, at the instances of the API by turns. */
export class Shoppers {
  /** Ids of orders that were placed: the API answered, so Redis has the event. */
  readonly placed = new Set<string>();
  readonly answers: Answer[] = [];
  readonly failures: string[] = [];
  /** By API. */
  readonly by = new Map<string, number>();
  requests = 0;
  private known: string[] = [];
  private turns = 0;
  private running = true;
  private readonly open = new Set<Promise<void>>();
  private loop: Promise<void> = Promise.resolve();

  constructor(private readonly audit: Audit, private readonly rate: number) {}

  start(apis: ReadonlyMap<string, string>): void {
    this.loop = this.run([...apis]);
  }

  /** Resolves when everything has been answered or given up. */
  async stop(): Promise<void> {
    this.running = false;
    await this.loop;
    await Promise.all([...this.open]);
  }

  private async run(apis: ReadonlyArray<readonly [string, string]>): Promise<void> {
    const startedAt = performance.now();
    while (this.running) {
      const due = ((performance.now() - startedAt) / 1_000) * this.rate;
      for (; this.turns < due && this.open.size < MAX_OPEN; this.turns++) {
        const [name, url] = apis[this.turns % apis.length]!;
        this.track(name, this.place(url));
        this.track(name, this.ask(url));
      }
      await new Promise((resolve) => setTimeout(resolve, TURN_MS));
    }
  }

  private track(name: string, work: Promise<void>): void {
    this.by.set(name, (this.by.get(name) ?? 0) + 1);
    const tracked = work.catch((error: Error) => void this.failures.push(`${error.message}${error.cause === undefined ? '' : ` (${String(error.cause)})`}`)).finally(() => this.open.delete(tracked));
    this.open.add(tracked);
  }

  private async place(url: string): Promise<void> {
    const response = await fetch(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"customer_id":"me"}', signal: AbortSignal.timeout(GIVE_UP_MS) });
    if (response.status !== 201) throw new Error(`POST /orders answered ${response.status}: ${await response.text()}`);
    const { order_id: id } = (await response.json()) as ShopOrder;
    this.placed.add(id);
    this.known.push(id);
  }

  private async ask(url: string): Promise<void> {
    const id = this.requests % UNKNOWN_EVERY === 0 ? 'order-unknown' : this.anyStored();
    this.requests++;
    const at = Date.now(), startedAt = performance.now();
    const response = await fetch(`${url}/orders/${id}`, { signal: AbortSignal.timeout(GIVE_UP_MS) });
    const body = (await response.json()) as Partial<ShopOrder>;
    const ok = id === 'order-unknown' ? response.status === 404 : response.status === 200 && body.order_id === id;
    if (!ok) throw new Error(`GET /orders/${id} answered ${response.status}: ${JSON.stringify(body)}`);
    this.answers.push({ at, ms: performance.now() - startedAt });
  }

  /** An order that the order service has, as the register says. */
  private anyStored(): string {
    const stored = this.known.length === 0 ? undefined : this.known[Math.floor(Math.random() * this.known.length)];
    return stored !== undefined && this.audit.has('orders', stored) ? stored : (this.known.find((id) => this.audit.has('orders', id)) ?? 'order-unknown');
  }
}
