import type { RoomContext } from './engine.js';

/** Sees who handles what, and when somebody is shown a message before all have done with the one before. */
export class Lockstep {
  readonly violations: string[] = [];
  /** In the order in which they were first shown to anybody. */
  readonly order: string[] = [];
  private readonly open = new Map<string, Set<string>>();
  private readonly begun = new Map<string, Set<string>>();
  private readonly steady = new Set<string>();

  /** From here on it must see everything. */
  stays(who: string): void { this.steady.add(who); }

  begin(who: string, { id }: RoomContext): void {
    for (const [other, handlers] of this.open) {
      if (other !== id && handlers.size > 0) this.violations.push(`${id} was shown to ${who} while ${[...handlers].join(', ')} had ${other}`);
    }
    if (!this.begun.has(id)) {
      const before = this.order.at(-1);
      const saw = before === undefined ? undefined : this.begun.get(before);
      if (saw) for (const each of this.steady) if (!saw.has(each)) this.violations.push(`${id} was shown to ${who} before ${before} to ${each}`);
      this.order.push(id);
      this.begun.set(id, new Set());
      this.open.set(id, new Set());
    }
    this.begun.get(id)!.add(who);
    this.open.get(id)!.add(who);
  }

  end(who: string, { id }: RoomContext): void { this.open.get(id)?.delete(who); }

  /** It has left or was ejected: nobody waits for it. */
  out(who: string): void {
    for (const handlers of this.open.values()) handlers.delete(who);
  }
}
