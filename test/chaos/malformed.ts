import type { Rng } from '../support/seed.js';

export interface Malformed {
  readonly kind: string;
  readonly reasons: readonly string[];
  /** Fields of the LBS entry. */
  fields(stream: string, rng: Rng): Array<string | Buffer>;
}

const json = (stream: string, info: string): string => `{"DataStreamName":"${stream}","Info":${info}}`;
const field = (payload: string | Buffer): Array<string | Buffer> => ['lbs-input', payload];
const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/** What anybody may write into the LBS stream, and the reason each must be found under in the dead-letter stream. */
export const MALFORMED: readonly Malformed[] = [
  { kind: 'no field', reasons: ['missing-field'], fields: (stream) => ['other', json(stream, '{}')] },
  { kind: 'invalid JSON', reasons: ['invalid-json'], fields: (stream) => field(json(stream, '{').slice(0, -2)) },
  // The server's parser takes this, the consumer's does not.
  { kind: 'NaN', reasons: ['invalid-json'], fields: (stream) => field(json(stream, '{"n":NaN}')) },
  { kind: 'not an object', reasons: ['missing-stream-name'], fields: (_stream, rng) => field(rng.pick(['[]', '1', 'null', '"text"'])) },
  { kind: 'no DataStreamName', reasons: ['missing-stream-name'], fields: () => field('{"Info":{}}') },
  { kind: 'empty DataStreamName', reasons: ['missing-stream-name'], fields: () => field(json('', '{}')) },
  { kind: '5 MB Info', reasons: ['too-large'], fields: (stream) => field(json(stream, `{"big":"${'x'.repeat(5 << 20)}"}`)) },
  { kind: '__proto__ key', reasons: ['forbidden-key'], fields: (stream, rng) => field(json(stream, rng.pick(['{"__proto__":{"isAdmin":true}}', '{"a":{"__proto__":{}}}', '{"\\u005f_proto__":1}']))) },
  { kind: 'not UTF-8', reasons: ['invalid-utf8'], fields: (stream, rng) => {
    const [head, tail] = rng.pick([[`{"DataStreamName":"${stream}`, '","Info":{}}'], [`{"DataStreamName":"${stream}","Info":{"x":"`, '"}}']] as const);
    return field(Buffer.concat([Buffer.from(head), Buffer.from([0xff, 0xfe, 0xc3, 0x28]), Buffer.from(tail)]));
  } },
  { kind: '50,000 deep', reasons: ['too-deep'], fields: (stream) => field(json(stream, `{"a":${deep(50_000)}}`)) },
  { kind: '100 deep', reasons: ['too-deep'], fields: (stream) => field(json(stream, `{"a":${deep(100)}}`)) },
];
