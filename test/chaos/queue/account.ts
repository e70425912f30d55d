import { eachOf } from './ranges.js';

export const RESOLVED = 1;
/** Rejected, and certainly not stored. */
export const UNSENT = 2;
/** Rejected, and nobody knows. */
export const UNSURE = 4;
export const EFFECT = 8;
export const STORED = 16;
/** A dead letter. */
export const PARKED = 32;

export interface Run {
  readonly by: string;
  readonly session: string;
  /** Milliseconds. */
  readonly at: number;
  readonly id: string;
}

export interface Session {
  readonly by: string;
  state: 'live' | 'lost' | 'left';
}

/** What the ledger says, added up while it grows. */
export class Account {
  /** By producer: flags by number. */
  readonly sends = new Map<number, Uint8Array>();
  /** By producer, then number. */
  readonly runs = new Map<number, Map<number, Run[]>>();
  readonly sessions = new Map<string, Session>();
  readonly rejections: Record<string, number> = {};
  /** Sessions whose acknowledgement of a message was accepted, where there was more than one. */
  readonly ackedTwice: string[] = [];
  readonly settledTwice: string[] = [];
  readonly storedTwice: string[] = [];
  resolved = 0;
  /** Messages that had an effect. */
  effects = 0;
  /** Resolved, and neither with an effect nor given up so far. */
  open = 0;
  runCount = 0;
  acks = 0;
  private readonly letters = new Map<string, string>();
  private readonly acked = new Map<string, string>();
  private readonly newest = new Map<string, number>();
  private readonly lastSettled = new Map<number, number>();

  feed(line: string): void {
    const [kind, a = '', b = '', c = '', d = '', e = '', f = ''] = line.split(' ');
    switch (kind) {
      case 'S':
        eachOf(b, (n) => this.settled(Number(a), n, RESOLVED));
        this.lastSettled.set(Number(a), Date.now());
        return;
      case 'F':
        eachOf(d, (n) => {
          this.settled(Number(a), n, c === '1' ? UNSENT : UNSURE);
          this.rejections[b] = (this.rejections[b] ?? 0) + 1;
        });
        return;
      case 'R': return this.ran(Number(d), Number(e), { by: a, session: b, at: Number(c), id: f });
      case 'E': {
        const p = Number(a);
        const n = Number(b);
        const before = this.flagsOf(p, n);
        if ((before & EFFECT) !== 0) return;
        this.effects++;
        if ((before & (RESOLVED | PARKED)) === RESOLVED) this.open--;
        return this.set(p, n, EFFECT);
      }
      case 'A': {
        this.acks++;
        const unit = `${b}#${c}`;
        const before = this.acked.get(unit);
        if (before !== undefined) this.ackedTwice.push(`${unit} for ${before} and for ${a}`);
        this.acked.set(unit, a);
        return;
      }
      case 'J': return void this.sessions.set(a, { by: b, state: 'live' });
      case 'X':
      case 'L': {
        const session = this.sessions.get(a);
        if (session) session.state = kind === 'L' ? 'left' : 'lost';
        return;
      }
      default: throw new Error(`no line of the ledger: ${line}`);
    }
  }

  /** Found in the queue by reading it past the library. */
  found(p: number, n: number): void {
    if ((this.flagsOf(p, n) & (STORED | PARKED)) !== 0) this.storedTwice.push(`${p}#${n}`);
    this.set(p, n, STORED);
  }

  /** Found among the dead letters, maybe again. `letter`: that letter's own id. */
  parked(p: number, n: number, letter: string): void {
    const unit = `${p}#${n}`;
    const before = this.flagsOf(p, n);
    if ((before & STORED) !== 0 || (this.letters.get(unit) ?? letter) !== letter) this.storedTwice.push(unit);
    this.letters.set(unit, letter);
    if ((before & (RESOLVED | EFFECT | PARKED)) === RESOLVED) this.open--;
    this.set(p, n, PARKED);
  }

  /** Some of those that are open. */
  *unhandled(most: number): Generator<string> {
    for (const [p, flags] of this.sends) {
      for (let n = 0; n < flags.length && most > 0; n++) {
        if ((flags[n]! & (RESOLVED | EFFECT | PARKED)) !== RESOLVED) continue;
        most--;
        yield `${p}#${n}`;
      }
    }
  }

  flagsOf(p: number, n: number): number {
    return this.sends.get(p)?.[n] ?? 0;
  }

  /** When the newest message that this session began was stored, in server milliseconds. */
  newestOf(session: string): number {
    return this.newest.get(session) ?? 0;
  }

  /** When the ledger was last heard to say that a send of this producer resolved. */
  lastResolvedOf(producer: number): number {
    return this.lastSettled.get(producer) ?? 0;
  }

  private settled(p: number, n: number, flag: number): void {
    const before = this.flagsOf(p, n);
    if ((before & (RESOLVED | UNSENT | UNSURE)) !== 0) this.settledTwice.push(`${p}#${n}`);
    if (flag === RESOLVED) {
      this.resolved++;
      if ((before & (EFFECT | PARKED)) === 0) this.open++;
    }
    this.set(p, n, flag);
  }

  private ran(p: number, n: number, run: Run): void {
    this.runCount++;
    this.newest.set(run.session, Math.max(this.newestOf(run.session), Number.parseInt(run.id, 10)));
    let units = this.runs.get(p);
    if (!units) this.runs.set(p, (units = new Map()));
    const known = units.get(n);
    if (known) known.push(run);
    else units.set(n, [run]);
  }

  private set(p: number, n: number, flag: number): void {
    let flags = this.sends.get(p);
    if (!flags || n >= flags.length) {
      const larger = new Uint8Array(Math.max(4_096, 2 * (n + 1)));
      if (flags) larger.set(flags);
      this.sends.set(p, (flags = larger));
    }
    flags[n]! |= flag;
  }
}
