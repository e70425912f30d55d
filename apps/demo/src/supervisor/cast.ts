import type { RoleConfig } from '../config.js';
import { RoleProcess, type RoleName } from '../processes/role-process.js';

/** The processes on stage, by name. One that ends without having been asked to is remembered. */
export class Cast {
  readonly members = new Map<string, RoleProcess>();
  readonly surprises: string[] = [];

  async start(role: RoleName, name: string, config: RoleConfig): Promise<RoleProcess> {
    const member = new RoleProcess(role, name, config);
    this.members.set(name, member);
    void member.exited.then(({ code, signal }) => {
      if (!member.expected || (signal === null && code !== 0)) this.surprises.push(`${name} ended with ${signal ?? `exit code ${code}`}`);
    });
    await member.ready;
    return member;
  }

  get(name: string): RoleProcess {
    const member = this.members.get(name);
    if (!member) throw new Error(`there is no process "${name}"`);
    return member;
  }

  consumers(): RoleProcess[] {
    return [...this.members.values()].filter((member) => member.role === 'consumer' && !member.ended);
  }

  /** Stops all of a role and waits; whoever does not end in time is killed and counted as a surprise. */
  async stop(role: RoleName, withinMs: number): Promise<void> {
    await Promise.all([...this.members.values()].filter((member) => member.role === role && !member.ended).map(async (member) => {
      const timer = setTimeout(() => {
        this.surprises.push(`${member.name} did not stop within ${withinMs / 1_000} s`);
        void member.kill();
      }, withinMs);
      await member.stop();
      clearTimeout(timer);
    }));
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.members.values()].filter((member) => !member.ended).map((member) => member.kill()));
  }
}
