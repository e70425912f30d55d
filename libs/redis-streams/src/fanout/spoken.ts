import type { FanoutShardKeys } from '../keys/fanout-keys.js';
import type { ScriptRunner } from '../redis/script-runner.js';
import { bulk } from '../redis/wire.js';

/** Rooms whose keys are kept as they stand on the wire. Of busy ones: put together anew they would cost more than the rest of a call. */
const KEPT = 1_000;

export interface Acknowledgement {
  readonly room: string;
  /** In which the message was shown. */
  readonly turn: number;
  /** Local subscribers that were ejected from it. */
  readonly ejected: readonly string[];
}

/** Turns, then who was ejected: place and names. */
export function turnsOf(acks: readonly Acknowledgement[]): Array<string | number> {
  const args: Array<string | number> = acks.map(({ turn }) => turn);
  acks.forEach(({ ejected }, i) => ejected.length > 0 && args.push(i + 1, ejected.join(',')));
  return args;
}

/** As `String`, which takes ten times as long for a number of this size as for two halves of it. `turn`: from 0 to 2^53. */
export function digitsOf(turn: number): string {
  const high = Math.floor(turn / HALF);
  return high === 0 ? String(turn) : `${high}${String(turn % HALF).padStart(8, '0')}`;
}

const HALF = 100_000_000;

/** Acknowledgements as they stand on the wire, for a connection that is not the client library's. */
export class Spoken {
  /** Of a room: state and backlog; outcomes. */
  private readonly kept = new Map<string, { readonly two: string; readonly third: string }>();
  private readonly head: string;
  private readonly encodedRules: string;
  private last = { sha: '', session: '', call: '', encoded: '' };

  constructor(
    private readonly scripts: ScriptRunner,
    { current, backlogs, dead }: FanoutShardKeys,
    /** Of a room: state, backlog, outcomes. */
    private readonly keysOf: (room: string) => readonly string[],
    rules: string,
  ) {
    this.head = [current, backlogs, dead].map(bulk).join('');
    this.encodedRules = bulk(rules);
  }

  inFull(session: string, acks: readonly Acknowledgement[]): string {
    const turns = turnsOf(acks);
    const count = 3 + acks.length * 3;
    let text = `*${5 + count + turns.length}\r\n$7\r\nEVALSHA\r\n${bulk(this.scripts.shaOf('fanout-ack'))}${bulk(String(count))}${this.head}`;
    for (const { room } of acks) {
      const { two, third } = this.encoded(room);
      text += two + third;
    }
    text += this.encodedRules + bulk(session);
    for (const turn of turns) text += bulk(String(turn));
    return text;
  }

  /** Of such over which nobody was ejected. */
  inShort(session: string, acks: readonly Acknowledgement[]): string {
    const sha = this.scripts.shaOf('fanout-step');
    // All of this is the same from call to call, nearly always.
    if (this.last.sha !== sha || this.last.session !== session) this.last = { sha, session, call: `$7\r\nEVALSHA\r\n${bulk(sha)}`, encoded: bulk(session) };
    let text = `*${4 + acks.length * 3}\r\n${this.last.call}${bulk(String(acks.length * 2))}`;
    for (const { room } of acks) text += this.encoded(room).two;
    text += this.last.encoded;
    for (const { turn } of acks) text += bulk(digitsOf(turn));
    return text;
  }

  private encoded(room: string): { readonly two: string; readonly third: string } {
    const known = this.kept.get(room);
    if (known) return known;
    const [state, backlog, outcomes] = this.keysOf(room).map(bulk) as [string, string, string];
    const keys = { two: state + backlog, third: outcomes };
    if (this.kept.size >= KEPT) this.kept.clear();
    this.kept.set(room, keys);
    return keys;
  }
}
