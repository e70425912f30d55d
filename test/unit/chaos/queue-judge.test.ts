import { describe, expect, it } from 'vitest';
import { Account } from '../../chaos/queue/account.js';
import { judge, type Judgement, type JudgeOptions } from '../../chaos/queue/judge.js';

const PER_SESSION = 16;

function verdictOn(lines: readonly string[], look: (account: Account) => void = () => undefined, options: Partial<JudgeOptions> = {}): Judgement {
  const account = new Account();
  for (const line of lines) account.feed(line);
  look(account);
  return judge(account, { perSession: PER_SESSION, killed: new Set(), ...options });
}

/** So many messages: sent, begun once by one session, and with their effect. */
function handled(count: number): string[] {
  const each = Array.from({ length: count }, (_, n) => [`R c1 s1 1 1 ${n} ${n + 1}-0`, `E 1 ${n}`, `A s1 1 ${n}`]);
  return [`S 1 0-${count - 1}`, 'J s1 c1', ...each.flat()];
}

/** A second session that began messages again. */
const again = (numbers: readonly number[]): string[] => ['J s2 c2', ...numbers.map((n) => `R c2 s2 2 1 ${n} ${n + 1}-0`)];

describe('The judge of queues', () => {
  it('has nothing against messages that were handled once, or are kept', () => {
    const { counts, breaches } = verdictOn([...handled(10), 'S 1 10-11'], (account) => (account.found(1, 10), account.parked(1, 11, '9-0')));
    expect(breaches).toEqual([]);
    expect(counts).toMatchObject({ resolved: 12, effects: 10, keptUnhandled: 2, lost: 0, reruns: 0 });
  });

  it('has nothing against what a lost or killed session leaves to another', () => {
    const lines = [...handled(10), ...again([3, 4])];
    expect(verdictOn([...lines, 'X s1 c1']).breaches).toEqual([]);
    expect(verdictOn(lines, undefined, { killed: new Set(['c1']) }).breaches).toEqual([]);
  });

  const many = Array.from({ length: PER_SESSION + 1 }, (_, n) => n);
  it.each<[string, string[], ((account: Account) => void) | undefined, RegExp]>([
    ['there is no evidence', [], undefined, /no send resolved/],
    ['every send was rejected', ['F 1 CONNECTION 0 0-49999'], undefined, /no send resolved/],
    ['every send was refused', ['F 1 BACKPRESSURE 1 0-49999'], undefined, /no send resolved/],
    ['a message that resolved is nowhere', ['S 1 10', ...handled(10)], undefined, /1 messages were stored, said their sends, and neither handled nor kept: 1#10/],
    ['all that resolved are nowhere', ['S 1 0-9'], undefined, /10 messages were stored, said their sends/],
    ['a message lies in the queue twice', ['S 1 0'], (account) => (account.found(1, 0), account.found(1, 0)), /stored twice/],
    ['a message lies in the queue and among the dead letters', ['S 1 0'], (account) => (account.found(1, 0), account.parked(1, 0, '9-0')), /stored twice/],
    ['a message was given up twice', ['S 1 0'], (account) => (account.parked(1, 0, '9-0'), account.parked(1, 0, '9-1')), /stored twice/],
    ['a message was handled under two ids', [...handled(1), 'X s1 c1', 'J s2 c2', 'R c2 s2 2 1 0 7-0'], undefined, /two ids/],
    ['a message is stored although its send said that it was not', [...handled(1), 'F 1 CLOSED 1 1'], (account) => account.found(1, 1), /although their sends said/],
    ['a message had an effect although its send said that it was not stored', [...handled(1), 'F 1 CLOSED 1 1', 'E 1 1'], undefined, /although their sends said/],
    ['a send resolved twice', [...handled(1), 'S 1 0'], undefined, /settled twice/],
    ['a send resolved and was rejected', [...handled(1), 'F 1 CLOSED 1 0'], undefined, /settled twice/],
    ['a session handled a message twice', [...handled(1), 'R c1 s1 2 1 0 1-0', 'X s1 c1'], undefined, /twice by one session/],
    ['two sessions handled a message, and none was lost', [...handled(1), ...again([0])], undefined, /neither of which was lost/],
    ['acknowledgements of two sessions were accepted', [...handled(1), ...again([0]), 'A s2 1 0', 'X s1 c1'], undefined, /two sessions were accepted/],
    ['an error is none of the library', [...handled(1), 'F 1 UNTYPED 0 1'], undefined, /no error of the library/],
    ['a lost session left more than it may hold', [...handled(20), ...again(many), 'X s1 c1'], undefined, /left 17 messages to be run again; it may hold 16/],
    ['more was run again than the lost may leave', [...handled(20), ...again(many)], undefined, /17 re-runs for 0 lost sessions/],
  ])('tells when %s', (_what, lines, look, breach) => {
    expect(verdictOn(lines, look).breaches).toEqual(expect.arrayContaining([expect.stringMatching(breach)]));
  });

  it('counts what is tolerated without a breach, and judges some producers alone', () => {
    const lost = ['S 1 10', ...handled(10)];
    const { counts, breaches } = verdictOn(lost, undefined, { tolerated: ['lost'] });
    expect(breaches).toEqual([]);
    expect(counts['lost']).toBe(1);
    expect(verdictOn([...lost, 'S 2 0', 'E 2 0'], undefined, { producers: new Set([2]) }).breaches).toEqual([]);
    expect(verdictOn(lost, undefined, { producers: new Set([2]) }).breaches).toEqual(['no send resolved']);
  });
});

describe('The account of a queue', () => {
  it('knows what is open, and what of it is with nobody', () => {
    const account = new Account();
    for (const line of ['S 1 0-4', 'E 1 0', 'F 1 CLOSED 1 5', 'R c1 s1 1 1 1 2-0']) account.feed(line);
    account.parked(1, 2, '9-0');
    expect(account.open).toBe(3);
    expect([...account.unhandled(10)]).toEqual(['1#1', '1#3', '1#4']);
    expect(account).toMatchObject({ resolved: 5, effects: 1, runCount: 1, rejections: { CLOSED: 1 } });
  });

  it('counts an effect once, before or after its send is known to have resolved', () => {
    const account = new Account();
    for (const line of ['E 1 0', 'E 1 0', 'S 1 0-1', 'E 1 1', 'E 1 1']) account.feed(line);
    expect(account).toMatchObject({ effects: 2, open: 0 });
  });

  it('refuses a line that it does not know', () => {
    expect(() => new Account().feed('Z 1')).toThrow('no line of the ledger');
  });
});
