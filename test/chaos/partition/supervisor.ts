import type { Member } from './member.js';
import type { PartitionWorld } from './world.js';

/** Starts processes that end by themselves again, under their names, as an orchestrator does. */
export class Supervisor {
  deaths = 0;
  readonly failures: string[] = [];
  private open = true;
  private readonly pending = new Set<Promise<unknown>>();

  constructor(private readonly world: PartitionWorld) {
    for (const member of world.members) this.watch(member);
  }

  async stop(): Promise<void> {
    this.open = false;
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  private watch(member: Member): void {
    void member.process.exited.then(() => {
      if (!this.open) return;
      this.deaths++;
      this.world.forget(member);
      this.restart(member.name);
    });
  }

  /** Also a process that dies while it starts: it has taken its partitions up, and the poison with them. */
  private restart(name: string): void {
    const again = this.world.spawn({ name }).then(
      (member) => this.watch(member),
      (error: unknown) => {
        if (!this.open) return;
        if (!/ended \(.*\) before its start/.test(String(error))) this.failures.push(String(error));
        this.deaths++;
        this.restart(name);
      },
    ).finally(() => this.pending.delete(again));
    this.pending.add(again);
  }
}
