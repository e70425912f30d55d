import type { StreamMessage } from '../kernel/xread-parser.js';

/** A message in this process's hands: delivered to its session, and not settled yet. */
export class HeldMessage {
  constructor(
    readonly message: StreamMessage,
    /** Times its handler failed, by anybody. */
    public failures = 0,
    /** Times a process died while it was known to run it. */
    public crashes = 0,
    /** Its consumer has died: it may have been running it, or not. */
    readonly orphan = false,
    /** The server keeps a record of its attempts. */
    public recorded = false,
    /** How often the server had given it to somebody when it was found with us though we do not know it. */
    readonly foundAt?: number,
  ) {}

  get id(): string {
    return this.message.id;
  }

  /**
   * How the server recognises that it has given this back before, and that the answer was lost: it may have been taken again
   * since, also by us. By the record that was left with it; one that was found, by how often it had been given to somebody.
   */
  get mark(): string {
    if (this.foundAt !== undefined) return `#${this.foundAt}`;
    return this.recorded ? this.record : '';
  }

  /** Not begun here, it is given back with the record it came with: that one says nothing about whether it was given back before. */
  asItCame(): this {
    this.recorded = false;
    return this;
  }

  /** As the server keeps it. */
  get record(): string {
    return `${this.failures} ${this.crashes} 0`;
  }

  /** May have ended a process: written down before it runs. */
  get isSuspect(): boolean {
    return this.orphan || this.crashes > 0;
  }

  /** A field that is none of key, data and headers. */
  field(name: string): string | undefined {
    const { other } = this.message;
    if (!other) return undefined;
    for (let i = 0; i + 1 < other.length; i += 2) if (other[i] === name) return other[i + 1];
    return undefined;
  }
}

/** @throws Error: it has none that can be read */
export function dataOf({ message }: HeldMessage): unknown {
  if (message.data === undefined) throw new Error('the entry has no field "data"');
  try {
    return JSON.parse(message.data) as unknown;
  } catch (error) {
    throw new Error(`the field "data" is not JSON: ${(error as Error).message}`, { cause: error });
  }
}
