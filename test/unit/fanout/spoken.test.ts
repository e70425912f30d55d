import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digitsOf, Spoken } from '../../../libs/redis-streams/dist/fanout/spoken.js';
import { fanoutShardKeys, roomKeys } from '../../../libs/redis-streams/dist/keys/fanout-keys.js';
import { RespReader, type Reply } from '../../../libs/redis-streams/dist/kernel/resp-reader.js';
import type { ScriptRunner } from '../../../libs/redis-streams/dist/redis/script-runner.js';

const keys = fanoutShardKeys('chat', 3);
const keysOf = (room: string): string[] => Object.values(roomKeys('chat', 3, room));

/** A command as the server reads it. */
function read(command: string): Reply {
  const frames: Reply[] = [];
  new RespReader().push(Buffer.from(command), (frame) => void frames.push(frame));
  expect(frames).toHaveLength(1);
  return frames[0]!;
}

describe('acknowledgements on the wire', () => {
  const ack = fc.record({ room: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 9 }), turn: fc.maxSafeNat(), ejected: fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { maxLength: 2 }) });
  const acks = fc.array(ack, { minLength: 1, maxLength: 5 });

  it('are the calls that their scripts expect, from one to the next', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('a:1', 'b:22'), fc.constantFrom('1', '2'), acks), { minLength: 1, maxLength: 4 }), (calls) => {
      let version = '';
      const spoken = new Spoken({ shaOf: (name: string) => `${name}-${version}` } as unknown as ScriptRunner, keys, keysOf, 'hold 1 2 3');
      for (const [session, sha, given] of calls) {
        version = sha;
        const turns = given.map(({ turn }) => String(turn));
        expect(read(spoken.inShort(session, given))).toEqual(['EVALSHA', `fanout-step-${sha}`, String(given.length * 2), ...given.flatMap(({ room }) => keysOf(room).slice(0, 2)), session, ...turns]);
        const ejected = given.flatMap(({ ejected: names }, i) => (names.length > 0 ? [String(i + 1), names.join(',')] : []));
        expect(read(spoken.inFull(session, given))).toEqual(['EVALSHA', `fanout-ack-${sha}`, String(3 + given.length * 3), keys.current, keys.backlogs, keys.dead, ...given.flatMap(({ room }) => keysOf(room)), 'hold 1 2 3', session, ...turns, ...ejected]);
      }
    }));
  });

  it('turns are written as they are', () => {
    fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(), fc.constantFrom(0, 99_999_999, 100_000_000, 100_000_001, 1_795_364_446_000_007, Number.MAX_SAFE_INTEGER)), (turn) => {
      expect(digitsOf(turn)).toBe(String(turn));
    }), { numRuns: 1_000 });
  });
});
