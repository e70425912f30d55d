import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outgoing } from '../../../libs/redis-streams/dist/queue/encode.js';
import { OutgoingBatch } from '../../../libs/redis-streams/dist/queue/outgoing-batch.js';
import { WireRoom } from '../../../libs/redis-streams/dist/redis/wire-room.js';
import { bulk } from '../../../libs/redis-streams/dist/redis/wire.js';

const rarely = (text: string): fc.Arbitrary<string> => fc.oneof({ weight: 6, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constant(text) });
const message = fc.tuple(fc.oneof(fc.json(), fc.json({ stringUnit: 'grapheme' })), rarely('k'), rarely('{"a":"ü"}'), rarely('i'), rarely('5')).map((fields) => new Outgoing(...fields));

describe('OutgoingBatch of a queue', () => {
  it('one argument a message while all are plain, five as soon as one is not, also for those before it', () => {
    fc.assert(fc.property(fc.array(message, { maxLength: 30 }), (messages) => {
      const batch = new OutgoingBatch(new WireRoom());
      let bytes = 0;
      for (const each of messages) {
        const width = batch.width;
        const took = batch.add(each);
        bytes += took;
        // Else it has paid for those before it.
        if (batch.width === width && each.plain === (width === 1)) expect(took).toBeLessThanOrEqual(each.bytes);
        expect(each.bytes).toBeLessThanOrEqual(3 * each.size);
      }
      expect(bytes).toBe(batch.more.bytes.length);
      const plain = messages.every((each) => each.plain);
      const expected = messages.flatMap(({ key, headers, id, delay, data }) => (plain ? [data] : [key, headers, id, delay, data]));
      expect([batch.width, batch.more.count, batch.more.bytes.toString()]).toEqual([plain ? 1 : 5, expected.length, expected.map(bulk).join('')]);
    }));
  });
});
