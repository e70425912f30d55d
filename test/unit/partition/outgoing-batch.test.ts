import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shardKeys } from '../../../libs/redis-streams/dist/keys/partition-keys.js';
import { Outgoing } from '../../../libs/redis-streams/dist/partition/encode.js';
import { OutgoingBatch } from '../../../libs/redis-streams/dist/partition/outgoing-batch.js';
import { WireRoom } from '../../../libs/redis-streams/dist/redis/wire-room.js';
import { bulk } from '../../../libs/redis-streams/dist/redis/wire.js';

const keys = shardKeys('payments', 0);
const message = fc.tuple(fc.constantFrom('k', 'ключ'), fc.json(), fc.oneof({ weight: 9, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constant('{"a":"b"}') }), fc.nat(200))
  .map(([key, data, headers, partition]) => new Outgoing(key, data, headers, partition));

describe('OutgoingBatch of partitions', () => {
  it('two arguments a message while none has headers, three as soon as one has; each has its place among the streams', () => {
    fc.assert(fc.property(fc.array(message, { maxLength: 150 }), (messages) => {
      const batch = new OutgoingBatch(keys, new WireRoom());
      let bytes = 0;
      for (const each of messages) {
        const took = batch.add(each);
        bytes += took;
        if (batch.width === 2 || each.headers === '') expect(took).toBeLessThanOrEqual(each.bytes);
        expect(each.bytes).toBeLessThanOrEqual(3 * each.size);
      }
      expect(bytes).toBe(batch.more.bytes.length);
      const width = messages.some(({ headers }) => headers !== '') ? 3 : 2;
      const expected = messages.flatMap(({ key, data, headers }) => [key, data, headers].slice(0, width));
      expect([batch.width, batch.more.count, batch.more.bytes.toString()]).toEqual([width, expected.length, expected.map(bulk).join('')]);
      expect(batch.partitions).toEqual(messages.map(({ partition }) => partition));
      expect(new Set(batch.streams).size).toBe(batch.streams.length);
      const { places } = batch;
      messages.forEach(({ partition }, i) => {
        const place = ((places.charCodeAt(2 * i) - 48) << 6) + places.charCodeAt(2 * i + 1) - 48;
        expect(batch.streams[place]).toBe(keys.partition(partition));
      });
    }));
  });
});
