import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { toEnvironment, type RoleConfig } from '../config.js';
import type { Order, Ready } from '../roles/ipc.js';
import { colorsEnabled } from '../ui/colors.js';
import { say } from '../ui/lines.js';
import { launch, type Launched } from './guarded.js';

export type RoleName = 'api' | 'consumer' | 'producer' | 'worker' | 'payer' | 'gateway' | 'ticker' | 'processor' | 'sender' | 'microservice';
/** Several of a kind, so each has a name. */
const NAMED: readonly RoleName[] = ['consumer', 'worker', 'gateway', 'processor', 'microservice'];
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

/** A Nest application in a process of its own, as the supervisor sees it. */
export class RoleProcess {
  readonly ready: Promise<Ready>;
  readonly exited: Launched['exited'];
  /** Why it may end now: we stopped or killed it. */
  expected = false;
  ended = false;
  private readonly launched: Launched;

  constructor(readonly role: RoleName, readonly name: string, config: RoleConfig) {
    const args = NAMED.includes(role) ? [MAIN, role, '--name', name] : [MAIN, role];
    this.launched = launch(process.execPath, args, {
      ...process.env, ...toEnvironment(config), ...(colorsEnabled ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
    }, true);
    const { child } = this.launched;
    if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => process.stdout.write(`${line}\n`));
    if (child.stderr) createInterface({ input: child.stderr }).on('line', (line) => say(name, 'error', '', line));
    this.exited = this.launched.exited.then((end) => {
      this.ended = true;
      return end;
    });
    this.ready = Promise.race([
      new Promise<Ready>((resolve) => child.on('message', (message) => (message as Ready).type === 'ready' && resolve(message as Ready))),
      this.exited.then(({ code, signal }) => Promise.reject(new Error(`${name} ended before it was ready (${signal ?? `exit code ${code}`})`))),
    ]);
    this.ready.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.launched.child.pid;
  }

  send(order: Order): void {
    if (this.launched.child.connected) this.launched.child.send(order);
  }

  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.launched.child.kill(signal);
  }

  /** Asks it to stop, as Kubernetes would. @returns how it ended. */
  stop(): Launched['exited'] {
    this.expected = true;
    if (process.platform === 'win32') this.send({ type: 'stop' });
    else this.launched.child.kill('SIGTERM');
    return this.exited;
  }

  kill(): Launched['exited'] {
    this.expected = true;
    this.launched.child.kill('SIGKILL');
    return this.exited;
  }
}
