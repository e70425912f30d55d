import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { OwnedPartitionRef, PartitionContext, PartitionHooks } from './support/engine.js';
import { gate, messages, Runs, untilAborted } from './support/handlers.js';
import { caughtUp, groupRow, keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

type Hook = keyof PartitionHooks;

/** What hooks and handlers said, in order. */
class Story {
  readonly lines: string[] = [];
  readonly events: Array<{ hook: Hook; event: { partitions: readonly OwnedPartitionRef[]; reason?: string; stream: string; group: string } }> = [];

  hooks(body: Partial<Record<Hook, () => unknown>> = {}): PartitionHooks {
    const hook = (name: Hook) => async (event: { partitions: readonly OwnedPartitionRef[]; stream: string; group: string }): Promise<void> => {
      this.events.push({ hook: name, event });
      this.lines.push(`${name} ${event.partitions.map(({ partition }) => partition).sort((a, b) => a - b).join(',')}`);
      await body[name]?.();
      this.lines.push(`${name} done`);
    };
    return { assigned: hook('assigned'), revoked: hook('revoked'), lost: hook('lost') };
  }

  handler(body: (context: PartitionContext) => unknown = () => undefined) {
    return async (data: unknown, context: PartitionContext): Promise<void> => {
      this.lines.push(`handle ${String(data)}`);
      await body(context);
      this.lines.push(`handled ${String(data)}`);
    };
  }

  of(hook: Hook): number[] {
    return this.events.filter((event) => event.hook === hook).flatMap(({ event }) => event.partitions.map(({ partition }) => partition)).sort((a, b) => a - b);
  }
}

onTopologies(BOTH, 'hooks', (world) => {
  it('assigned is awaited before the first message of its partitions', async () => {
    const stream = await world().stream(3);
    await world().client.sendMany(stream, messages(9, 9));
    const ready = gate();
    const story = new Story();
    const consumer = await world().consumer(stream, { message: story.handler(), ...story.hooks({ assigned: () => ready.opened }) }, { engine: { shutdown: { drainMs: 5_000 } } });
    await consumer.saw('partition.assigned', 3);
    // Together, or one after the other, as they were granted.
    await waitUntil(() => story.of('assigned').length > 0, { what: 'the hook is called' });
    // It would have handled all of them by the time its own look at the server has come back.
    for (let i = 0; i < 20; i++) await world().client.lag({ stream, group: 'group' });
    expect(story.lines.filter((line) => !/^assigned \d/.test(line))).toEqual([]);
    expect(consumer.owned).toEqual([]);
    ready.open();
    await caughtUp(world(), stream, 3);
    expect(story.of('assigned')).toEqual([0, 1, 2]);
    expect(story.lines.findIndex((line) => line.startsWith('handle'))).toBeGreaterThan(story.lines.indexOf('assigned done'));
    expect(story.lines.filter((line) => line.startsWith('handle'))).toHaveLength(18);
    expect(story.events.every(({ event }) => event.stream === stream && event.group === 'group')).toBe(true);
    expect(story.events.flatMap(({ event }) => event.partitions).map(({ partition, fencingToken }) => [partition, fencingToken]).sort((a, b) => a[0]! - b[0]!)).toEqual(
      consumer.inner.owned().map(({ partition, fencingToken }) => [partition, fencingToken]).sort((a, b) => a[0]! - b[0]!));
  });

  it('revoked comes after all handlers and commits, and is awaited before anybody else has the partition', async () => {
    const stream = await world().stream(2);
    const [finish, ready] = [gate(), gate()];
    const story = new Story();
    let seen: Promise<Array<string | undefined>> | undefined;
    const a = await world().consumer(stream, {
      message: story.handler(() => finish.opened),
      ...story.hooks({ revoked: () => {
        seen = Promise.all([0, 1].map(async (partition) => (await groupRow(world(), stream, partition))?.lastDeliveredId));
        return seen.then(() => ready.opened);
      } }),
    }, { engine: { shutdown: { drainMs: 5_000 } } });
    await a.owns(2);
    const sent = await world().client.sendMany(stream, [0, 1].map((partition) => ({ partition, key: 'k', data: partition })));
    await waitUntil(() => story.lines.filter((line) => line.startsWith('handle ')).length === 2, { what: 'both run' });
    const other = new Runs();
    const b = await world().consumer(stream, other.handler());
    await waitUntil(() => a.owned.length === 1, { what: 'one is to go' });
    const [stays] = a.owned;
    const goes = 1 - stays!;
    expect(story.of('revoked')).toEqual([]);
    finish.open();
    await waitUntil(() => story.of('revoked').length === 1, { what: 'it is told' });
    expect(story.of('revoked')).toEqual([goes]);
    expect(story.lines.indexOf(`handled ${goes}`)).toBeLessThan(story.lines.indexOf(`revoked ${goes}`));
    expect((await seen!)[goes]).toBe(sent[goes]!.id);
    await world().client.send(stream, { partition: goes, key: 'k', data: 'next' });
    for (let i = 0; i < 20; i++) await world().client.assignment({ stream, group: 'group' });
    expect(b.owned).toEqual([]);
    ready.open();
    await b.owns(1);
    await caughtUp(world(), stream, 2);
    expect(other.data).toEqual(['next']);
    expect(story.events.find(({ hook }) => hook === 'revoked')!.event).toMatchObject({ reason: 'rebalance', stream, group: 'group' });
  });

  it('revoked is told of the stop, once for each partition', async () => {
    const stream = await world().stream(3);
    const story = new Story();
    const a = await world().consumer(stream, { message: story.handler(), ...story.hooks() });
    await a.owns(3);
    await a.stop();
    expect(story.of('assigned')).toEqual([0, 1, 2]);
    expect(story.of('revoked')).toEqual([0, 1, 2]);
    expect(story.of('lost')).toEqual([]);
    expect(story.events.filter(({ hook }) => hook === 'revoked').every(({ event }) => event.reason === 'shutdown')).toBe(true);
  });

  it('lost is told when the session is, not awaited, and everything begins anew', async () => {
    const stream = await world().stream(2);
    const story = new Story();
    const runs = new Runs();
    const a = await world().consumer(stream, { message: runs.handler((context) => (context.attempt === 1 && runs.of(context.id).length === 1 ? untilAborted(context).catch(() => undefined) : undefined)), ...story.hooks() });
    await a.owns(2);
    await world().client.sendMany(stream, [0, 1].map((partition) => ({ partition, key: 'k', data: 1 })));
    await waitUntil(() => runs.contexts.length === 2, { what: 'both run' });
    const tokens = a.inner.owned().map(({ fencingToken }) => fencingToken);
    await world().cli(['ZADD', keysOf(stream).sessions, 1, a.session!]);
    await caughtUp(world(), stream, 2);
    await waitUntil(() => story.lines.length === 6, { what: 'all hooks are through' });
    expect(story.lines).toEqual(['assigned 0,1', 'assigned done', 'lost 0,1', 'lost done', 'assigned 0,1', 'assigned done']);
    expect(story.events[1]!.event.reason).toBe('session-lost');
    expect(story.events[1]!.event.partitions.map(({ fencingToken }) => fencingToken).sort()).toEqual(tokens.sort());
    expect(Math.min(...story.events[2]!.event.partitions.map(({ fencingToken }) => fencingToken))).toBeGreaterThan(Math.max(...tokens));
    expect(a.all('partition.lost').map(({ reason }) => reason)).toEqual(['session-lost', 'session-lost']);
  });

  it('are called one after the other, the end of an ownership never before its beginning', async () => {
    const stream = await world().stream(6);
    const story = new Story();
    let inside = 0;
    const body = async (): Promise<void> => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 15));
      inside--;
    };
    const a = await world().consumer(stream, { message: story.handler(), ...story.hooks({ assigned: body, revoked: body, lost: body }) });
    for (let i = 0; i < 3; i++) {
      const b = await world().consumer(stream, () => undefined);
      await b.owns(3);
      await b.stop();
      await a.owns(6);
    }
    await a.stop();
    const now = new Set<number>();
    for (const { hook, event } of story.events) {
      for (const { partition } of event.partitions) {
        expect(now.has(partition), `${hook} ${partition}`).toBe(hook !== 'assigned');
        if (hook === 'assigned') now.add(partition);
        else now.delete(partition);
      }
    }
    expect(now.size).toBe(0);
    expect(a.all('hook.error')).toEqual([]);
  });

  it.each(['throws', 'rejects'] as const)('one that %s is reported as hook.error and changes nothing else', async (how) => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const fail = (): unknown => {
      if (how === 'throws') throw new Error('hook');
      return Promise.reject(new Error('hook'));
    };
    const a = await world().consumer(stream, { message: runs.handler(), assigned: fail, revoked: fail, lost: fail });
    await world().client.sendMany(stream, messages(10, 10));
    await caughtUp(world(), stream, 2);
    const b = await world().consumer(stream, runs.handler());
    await b.owns(1);
    await world().cli(['ZADD', keysOf(stream).sessions, 1, a.session!]);
    await a.saw('session.lost');
    await waitUntil(() => a.owned.length === 1 && b.owned.length === 1, { what: 'both share again' });
    await a.stop();
    await b.owns(2);
    await world().client.sendMany(stream, messages(10, 10, 10));
    await caughtUp(world(), stream, 2);
    expect(runs.contexts).toHaveLength(20);
    expect(a.all('hook.error').every(({ error, service }) => error.message === 'hook' && service === `${stream}#group`)).toBe(true);
    expect(new Set(a.all('hook.error').map(({ hook }) => hook))).toEqual(new Set(['assigned', 'revoked', 'lost']));
    expect(a.errors).toEqual([]);
  });

  it('one that never ends is waited for as long as drainMs, and the others are called all the same', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const called: string[] = [];
    const hang = (name: Hook) => (): Promise<void> => (called.push(name), new Promise(() => undefined));
    const startedAt = performance.now();
    const a = await world().consumer(stream, { message: runs.handler(), assigned: hang('assigned'), revoked: hang('revoked') }, { engine: { shutdown: { drainMs: 300 } } });
    await world().client.sendMany(stream, messages(10, 10));
    await waitUntil(() => runs.contexts.length === 10, { what: 'all is handled in the end' });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(298);
    // Once for what was granted together: the partitions of a cluster may come one by one.
    await waitUntil(() => a.errors.length > 0, { what: 'it is reported' });
    expect(a.errors[0]!.message).toContain('300 ms');
    const stoppedAt = performance.now();
    await a.stop();
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    expect([...new Set(called)]).toEqual(['assigned', 'revoked']);
    const b = await world().consumer(stream, runs.handler());
    await b.owns(2);
  });
});
