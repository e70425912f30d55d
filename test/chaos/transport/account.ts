import { Account } from '../queue/account.js';

/** What became of a request, by its caller's word. */
interface Told {
  readonly ms: number;
  readonly outcome: string;
}

/**
 * What the ledger says of events and requests, added up while it grows. Its lines are those of queues, with a book before what is
 * of one: a service's name, or `requests`; and
 *
 *   Q client n              a request was sent
 *   Z client n ms outcome   its caller was told: `ok`, or what was wrong
 */
export class TransportAccount {
  /** By service: each handles every event. */
  readonly services: ReadonlyMap<string, Account>;
  /** As if each were an event that its caller's answer says is stored. */
  readonly requests = new Account();
  readonly asked = new Set<string>();
  readonly told = new Map<string, Told>();
  readonly toldTwice: string[] = [];

  constructor(services: readonly string[]) {
    this.services = new Map(services.map((service) => [service, new Account()]));
  }

  feed(line: string): void {
    const [book = '', a = '', b = '', c = '', ...rest] = line.split(' ');
    if (book === 'Q') return void this.asked.add(`${a}#${b}`);
    if (book === 'Z') {
      const name = `${a}#${b}`;
      if (this.told.has(name)) this.toldTwice.push(name);
      this.told.set(name, { ms: Number(c), outcome: rest.join(' ') });
      return this.requests.feed(`S ${a} ${b}`);
    }
    const own = book === 'requests' ? this.requests : this.services.get(book);
    if (own) return own.feed(line.slice(book.length + 1));
    for (const account of this.services.values()) account.feed(line);
  }

  /** Events that resolved, and that some service has not handled so far. */
  get open(): number {
    return [...this.services.values()].reduce((sum, { open }) => sum + open, 0);
  }

  get effects(): number {
    return [...this.services.values()].reduce((sum, { effects }) => sum + effects, 0);
  }
}
