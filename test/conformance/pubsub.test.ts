import { Controller } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { one } from './support/outcome.js';
import { overTransports } from './support/suite.js';

let seen: number[] = [];
/** That fail when they first come. */
let failing = new Set<number>();

@Controller()
class Subscriber {
  @EventPattern('numbers')
  async numbers(n: number): Promise<void> {
    seen.push(n);
    if (failing.delete(n)) throw new Error(`not ${n}`);
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const sorted = (numbers: Iterable<number>): number[] => [...numbers].toSorted((a, b) => a - b);

/** What every pub/sub has to do. What these do each in its own way is in the differences. */
overTransports('publish and subscribe', (transport) => {
  beforeEach(() => {
    seen = [];
    failing = new Set();
  });
  afterEach(() => transport().closeAll());
  const come = (count: number): Promise<unknown> => waitUntil(() => new Set(seen).size >= count, { what: `${count} have come` });

  it('each of many messages comes once', async () => {
    await transport().server(Subscriber);
    const client = transport().client();
    await Promise.all(upTo(1_000).map((n) => one(client.emit('numbers', n))));
    await come(1_000);
    expect(seen).toEqual(upTo(1_000));
  });
  it('of several publishers at once nothing is lost, and of each the order is kept', async () => {
    await transport().server(Subscriber);
    await Promise.all(upTo(4).map(async (publisher) => {
      const client = transport().client();
      for (const n of upTo(100)) await one(client.emit('numbers', publisher * 1_000 + n));
    }));
    await come(400);
    expect(seen).toHaveLength(400);
    for (const publisher of upTo(4)) expect(seen.filter((n) => Math.floor(n / 1_000) === publisher)).toEqual(upTo(100).map((n) => publisher * 1_000 + n));
  });
  it('goes on after errors', async () => {
    await transport().server(Subscriber);
    const client = transport().client();
    failing = new Set(upTo(50).filter((n) => n % 3 === 0));
    for (const n of upTo(50)) await one(client.emit('numbers', n));
    await come(50);
    expect(sorted(new Set(seen))).toEqual(upTo(50));
  });
  it('goes on after a subscriber has closed, with the next', async () => {
    const first = await transport().server(Subscriber);
    const client = transport().client();
    for (const n of upTo(20)) await one(client.emit('numbers', n));
    await come(20);
    await first.close();
    await client.close();
    await transport().server(Subscriber);
    for (const n of upTo(20)) await one(client.emit('numbers', 20 + n));
    await come(40);
    expect(seen).toEqual(upTo(40));
  });
  it('goes on after a publisher has closed, with the next', async () => {
    await transport().server(Subscriber);
    for (const publisher of upTo(5)) {
      const client = transport().client();
      await Promise.all(upTo(10).map((n) => one(client.emit('numbers', publisher * 10 + n))));
      await client.close();
    }
    await come(50);
    expect(sorted(seen)).toEqual(upTo(50));
  });
});
