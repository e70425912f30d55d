import { RedisStreamsServer } from 'nestjs-redis-streams/transport';
import { expect, it } from 'vitest';
import { startChild, told } from './fixtures/child.js';
import { ask, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
const NAMED = { consumerName: 'pod-1' };

/** Each has events of its own: in one's group only one may be of a name. */
async function listen(service: string | undefined, n: number): Promise<unknown> {
  const server = net.onEnd(new RedisStreamsServer(net.options({ ...NAMED, transport: { service } })), (each) => each.close());
  server.addHandler('double', async (data: number) => 2 * data);
  if (service !== undefined) server.addHandler(`happened ${n}`, async () => undefined, true);
  return new Promise((resolve) => void server.listen(resolve));
}

it('several servers of one process may have its exclusive name, of different services and of one', async () => {
  for (const [n, service] of ['a', 'b', 'b', undefined, undefined].entries()) expect(await listen(service, n)).toBeUndefined();
  const client = net.client();
  for (let n = 0; n < 20; n++) expect(await ask(client, 'double', n)).toBe(2 * n);
  const { consumers } = await net.stats(client, 'request.double', 'responders');
  expect(consumers).toBe(5);
});

it('another process with that name and service is refused', async () => {
  await startChild(net, { kind: 'microservice', options: NAMED });
  expect(await failureOf(startChild(net, { kind: 'microservice', options: NAMED }))).toMatchObject({ message: expect.stringMatching(/ConsumerNameInUse|CONSUMER_NAME_IN_USE/) });
});

it('one that is started again under its name takes up the requests of its killed predecessor at once', async () => {
  const options = { ...NAMED, session: { ttlMs: 60_000 } };
  const first = await startChild(net, { kind: 'microservice', options });
  const reply = ask<string>(net.client(), 'request', { n: 1, ms: 500 });
  await first.waitFor(({ type }) => type === 'begin', 10_000, 'its begin');
  await first.kill();
  const second = await startChild(net, { kind: 'microservice', options });
  await waitUntil(() => told(second, 'begin').length === 1, { what: 'it runs again', timeoutMs: 15_000 });
  expect(await reply).toBe(`1 of ${second.pid}`);
});
