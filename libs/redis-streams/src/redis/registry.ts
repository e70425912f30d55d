import { ClosedError, InvalidOptionsError } from '../errors/index.js';
import type { RedisConnection } from './connection.js';
import { patiently } from './patiently.js';
import { sleep } from './sleep.js';

const LOOK_MS = 200;

/** What is registered by name, and how it is told of. */
export interface RegistryKind<D extends object, R extends { readonly definition: D }, K> {
  /** In messages: `stream`. */
  readonly what: string;
  /** The full name. */
  nameOf(registration: R): string;
  keyOf(name: string): string;
  /** As this process knows it; `own`: its registration here. */
  known(name: string, definition: D, own: R | undefined): K;
  /** It has been registered here, after it had been known. */
  registered?(known: K, registration: R): void;
  mismatch(name: string, differences: readonly string[], by: string): Error;
  missing(name: string, who: string): Error;
}

/**
 * What all processes must agree on, by name: registered here, or by somebody else. What Redis keeps is a definition, and the
 * first one stands.
 */
export class Registry<D extends object, R extends { readonly definition: D }, K> {
  private readonly own = new Map<string, R>();
  private readonly known = new Map<string, K>();

  constructor(
    private readonly redis: RedisConnection,
    private readonly by: string,
    private readonly waitMs: number,
    private readonly kind: RegistryKind<D, R, K>,
  ) {}

  /** Notes a registration of this process; `registerAll` tells Redis. @throws InvalidOptionsError when it differs from another of this process */
  add(registration: R): void {
    const name = this.kind.nameOf(registration);
    const other = this.own.get(name);
    const differences = other ? differ(registration.definition, other.definition) : [];
    if (differences.length > 0) throw new InvalidOptionsError([{ path: `${this.kind.what} "${name}"`, message: `is registered twice in this application, and differs: ${differences.join('; ')}` }]);
    this.own.set(name, registration);
  }

  /** Registers all of this process; also again, since Redis may have been emptied. @throws what `register` throws */
  async registerAll(): Promise<void> {
    await Promise.all([...this.own.values()].map((registration) => this.register(registration)));
  }

  /** @throws the kind's mismatch, and then nothing of it is kept */
  async register(registration: R): Promise<void> {
    const name = this.kind.nameOf(registration);
    const found = (await this.ask(name, registration.definition))!;
    const differences = differ(registration.definition, found.definition);
    if (differences.length > 0) throw this.kind.mismatch(name, differences, found.by);
    this.own.set(name, registration);
    this.kind.registered?.(this.know(name, found.definition), registration);
  }

  /** By its full name; waits a while for somebody to register it. @throws the kind's missing | ClosedError when aborted */
  async get(name: string, who: string, signal?: AbortSignal): Promise<K> {
    const until = performance.now() + this.waitMs;
    for (;;) {
      const known = this.known.get(name);
      if (known) return known;
      // Its registration is under way in `registerAll`, or has just been refused there.
      const found = await this.ask(name, undefined, signal);
      if (found) return this.know(name, found.definition);
      if (signal?.aborted) throw new ClosedError(who);
      if (performance.now() >= until) throw this.kind.missing(name, who);
      await sleep(LOOK_MS, signal);
    }
  }

  /** By its full name, without waiting for anybody to register it. Undefined: nobody has. */
  async find(name: string): Promise<K | undefined> {
    const known = this.known.get(name);
    if (known) return known;
    const found = await this.ask(name, undefined);
    return found && this.know(name, found.definition);
  }

  /** The one object of a name: who holds it learns of what is registered later. */
  private know(name: string, definition: D): K {
    const known = this.known.get(name) ?? this.kind.known(name, definition, this.own.get(name));
    this.known.set(name, known);
    return known;
  }

  /** Waits for a server that is not there yet, as long as a send would. */
  private async ask(name: string, definition: D | undefined, signal?: AbortSignal): Promise<{ definition: D; by: string } | undefined> {
    const args = [definition ? JSON.stringify(definition) : '', this.by];
    const [status, text, by] = (await patiently(() => this.redis.scripts.run('register', [this.kind.keyOf(name)], args), signal)) as [string, string?, string?];
    return status === 'NONE' ? undefined : { definition: JSON.parse(String(text)) as D, by: String(by) };
  }
}

function differ<D extends object>(mine: D, theirs: D): string[] {
  return (Object.keys(mine) as Array<keyof D & string>).filter((key) => mine[key] !== theirs[key]).map((key) => `${key}: ${String(mine[key])} here, ${String(theirs[key])} as registered`);
}
