import type { Redis } from 'ioredis';
import { ClosedError, CommandTimeoutError, ReplicationError } from '../errors/index.js';
import type { CallOptions } from './command-channel.js';
import { send, sendWithMore, type Argument } from './compat.js';
import { withDeadline } from './deadline.js';

/** Answers of a server that is not, or not at present, the one to ask. */
const ELSEWHERE = /^(MOVED|ASK|READONLY|CLUSTERDOWN|MASTERDOWN|LOADING|UNBLOCKED)\b|WAIT cannot be used/;

export interface ReplicatedOptions {
  /** In messages: `sending to "payments"`. */
  readonly what: string;
  readonly waitReplicas: number;
  readonly waitTimeoutMs: number;
  /** Whether this answer of the command means that something was written. */
  wrote(answer: unknown): boolean;
}

/**
 * A connection on which every command is followed by WAIT, in the same pipeline: what WAIT counts is what this very connection
 * wrote before. It is a connection of its own because WAIT blocks it, which must hold up no heartbeat. It never reconnects
 * and never resends, so no WAIT is ever answered for a command of another connection; whatever goes wrong ends it, and the next call opens another.
 */
export class ReplicatedChannel {
  private client: Redis | undefined;
  private waits = 0;
  private closed = false;

  constructor(
    private readonly open: () => Redis,
    /** On Cluster: finds out who serves the slot now. */
    private readonly lookAgain: () => Promise<void>,
    private readonly onClose: () => void,
    private readonly answerMs: number,
    private readonly options: ReplicatedOptions,
  ) {}

  /** @throws ReplicationError when it was written and too few replicas have it; ClosedError; or what the server or the way to it said */
  async call(command: string, args: readonly Argument[], { more }: CallOptions = {}): Promise<unknown> {
    if (this.closed) throw new ClosedError('the Redis connection');
    const { what, waitReplicas, waitTimeoutMs, wrote } = this.options;
    let client: Redis | undefined;
    try {
      client = this.client ??= this.connect();
      // WAITs before this one block as well.
      const timeoutMs = this.answerMs + ++this.waits * waitTimeoutMs;
      const answered = more ? sendWithMore(client, command, args, more) : send(client, false, command, args);
      const counted = send(client, false, 'WAIT', [waitReplicas, waitTimeoutMs]);
      const over = (): void => void this.waits--;
      counted.then(over, over);
      const [answer, confirmed] = await withDeadline(Promise.all([answered, counted]), timeoutMs, () => new CommandTimeoutError(command, timeoutMs));
      if (Number(confirmed) < waitReplicas && wrote(answer)) throw new ReplicationError(what, waitReplicas, Number(confirmed));
      return answer;
    } catch (error) {
      if (this.closed) throw new ClosedError('the Redis connection');
      await this.after(error as Error, client);
      throw error;
    }
  }

  close(): void {
    this.closed = true;
    this.client?.disconnect();
    this.client = undefined;
    this.onClose();
  }

  private connect(): Redis {
    const client = this.open();
    client.on('error', () => undefined); // told to the caller by `end`
    client.once('end', () => this.drop(client));
    return client;
  }

  /** What the script itself said leaves the connection as it is. */
  private async after(error: Error, client: Redis | undefined): Promise<void> {
    if (error instanceof ReplicationError || (error.name === 'ReplyError' && !ELSEWHERE.test(error.message))) return;
    if (client) this.drop(client);
    await withDeadline(this.lookAgain(), this.answerMs, () => error).catch(() => undefined);
  }

  private drop(client: Redis): void {
    client.disconnect();
    if (this.client === client) this.client = undefined;
  }
}
