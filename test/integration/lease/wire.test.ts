import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Runs } from './support/handlers.js';
import { allDone, consumersOf, keysOf, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'wire format', (world) => {
  it('assigns what a plain XADD announces, under the names of the Go library', async () => {
    const service = world().service();
    const runs = new Runs();
    const consumer = await world().consumer(service, runs.handler());
    const id = await xadd(world(), service, 'order-stream-1', { order_id: 7, priority: 'high' });
    await allDone(world(), service);
    expect(runs.leases).toHaveLength(1);
    const [lease] = runs.leases;
    expect(lease).toMatchObject({
      service, stream: 'order-stream-1', info: { order_id: 7, priority: 'high' }, entryId: id, attempt: 1, recovered: false, owner: consumer.session,
    });
    expect(lease!.previousOwner).toBeUndefined();
    const { lbs, group } = keysOf(service);
    const groups = await world().cli(['XINFO', 'GROUPS', lbs], lbs) as string[][];
    expect(groups.map((row) => row[1])).toEqual([group]);
    expect(await world().cli(['XLEN', lbs])).toBe(0);
    expect(await consumersOf(world(), service)).toContain(consumer.session);
  });

  it('takes what was announced before the group existed, in order', async () => {
    const service = world().service();
    for (let i = 0; i < 20; i++) await xadd(world(), service, `s${i}`);
    const runs = new Runs();
    await world().consumer(service, runs.handler());
    await allDone(world(), service);
    expect(runs.leases.map(({ stream }) => stream)).toEqual(Array.from({ length: 20 }, (_, i) => `s${i}`));
  });

  it.each([
    ['a missing Info', '{"DataStreamName":"plain"}', {}],
    ['a null Info', '{"DataStreamName":"plain","Info":null}', {}],
    ['members nobody knows', '{"DataStreamName":"plain","Info":{"a":[1,{"b":null}]},"Version":3}', { a: [1, { b: null }] }],
    ['escapes', '{"DataStreamName":"\\u0070lain","Info":{"\\u00e4":"\\n"}}', { ä: '\n' }],
    ['keys given twice: the last counts', '{"DataStreamName":"other","DataStreamName":"plain","Info":{}}', {}],
  ])('accepts %s', async (_, payload, info) => {
    const service = world().service();
    const runs = new Runs();
    await world().consumer(service, runs.handler());
    await world().cli(['XADD', keysOf(service).lbs, '*', 'other', 'x', 'lbs-input', payload]);
    await allDone(world(), service);
    expect(runs.leases.map(({ stream, info: seen }) => ({ stream, info: seen }))).toEqual([{ stream: 'plain', info }]);
  });

  it.each([
    ['missing-field', ['other', 'x']],
    ['invalid-json', ['lbs-input', '{"DataStreamName":']],
    ['invalid-json', ['lbs-input', '']],
    ['missing-stream-name', ['lbs-input', '{"Info":{}}']],
    ['missing-stream-name', ['lbs-input', '{"DataStreamName":""}']],
    ['missing-stream-name', ['lbs-input', '{"DataStreamName":7}']],
    ['missing-stream-name', ['lbs-input', '"text"']],
    ['missing-stream-name', ['lbs-input', '[1]']],
    ['missing-stream-name', ['lbs-input', 'null']],
    ['invalid-stream-name', ['lbs-input', JSON.stringify({ DataStreamName: 'x'.repeat(513) })]],
    ['invalid-info', ['lbs-input', '{"DataStreamName":"bad","Info":[]}']],
    ['forbidden-key', ['lbs-input', '{"DataStreamName":"bad","Info":{"a":{"__proto__":{"polluted":1}}}}']],
    ['forbidden-key', ['lbs-input', '{"DataStreamName":"bad","Info":{"\\u005f_proto__":1}}']],
    ['too-deep', ['lbs-input', `{"DataStreamName":"bad","Info":{"a":${'['.repeat(100)}${']'.repeat(100)}}}`]],
    ['too-deep', ['lbs-input', `{"DataStreamName":"bad","Info":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`]],
    ['too-large', ['lbs-input', JSON.stringify({ DataStreamName: 'bad', Info: { a: 'x'.repeat(300_000) } })]],
  ])('moves a malformed announcement to the dead letters (%s) and goes on', async (reason, fields) => {
    const service = world().service();
    const runs = new Runs();
    const consumer = await world().consumer(service, runs.handler());
    await world().cli(['XADD', keysOf(service).lbs, '*', ...fields]);
    await xadd(world(), service, 'good');
    await allDone(world(), service);
    await waitUntil(() => runs.streams.includes('good'), { what: 'the good one runs' });
    expect(runs.streams).toEqual(['good']);
    const letters = await consumer.leases.deadLetters(service);
    expect(letters.map((letter) => letter.reason)).toEqual([reason]);
    expect(letters[0]!.fields[`entry.${fields[0]}`]).toBe(fields[1]);
    const events = await consumer.saw('lease.deadLettered');
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ reason });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
