import { RequestCancelledError } from '../errors/index.js';
import { cancelChannel } from '../keys/transport-keys.js';
import type { RedisConnection } from '../redis/connection.js';

/** Those that were cancelled before they came are remembered so long, and so many of them. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;

/** A request that runs here. */
export class RunningRequest {
  private controller: AbortController | undefined;
  private reason: RequestCancelledError | undefined;
  private listeners: Array<() => void> | undefined;

  constructor(
    private readonly pattern: string,
    /** A dead letter's second life: it is run for what it does, and that nobody waits for its reply goes without saying. */
    private readonly isReplayed = false,
  ) {}

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.reason) this.controller.abort(this.reason);
    return this.controller.signal;
  }

  get isCancelled(): boolean {
    return this.reason !== undefined;
  }

  onCancel(listener: () => void): void {
    if (this.isCancelled) listener();
    else (this.listeners ??= []).push(listener);
  }

  cancel(): void {
    if (this.reason || this.isReplayed) return;
    this.reason = new RequestCancelledError(this.pattern);
    this.controller?.abort(this.reason);
    for (const listener of this.listeners ?? []) listener();
  }
}

/** Requests of one server that nobody waits for any more. What it is not told it runs in vain, and that is all. */
export class Cancels {
  /** By stream of replies, then by id: a text made of both would have to be hashed for every request. */
  private readonly running = new Map<string, Map<string, RunningRequest>>();
  /** Request -> when it was cancelled, oldest first. */
  private readonly early = new Map<string, number>();
  private unlisten: (() => void) | undefined;

  constructor(
    private readonly redis: RedisConnection,
    private readonly namespace: string,
  ) {}

  listen(): void {
    this.unlisten ??= this.redis.doorbell.listen(cancelChannel(this.namespace), (message) => this.heard(message));
  }

  stop(): void {
    this.unlisten?.();
    this.unlisten = undefined;
  }

  /** `undefined`: it was cancelled before it came. */
  begin(replies: string, id: string, pattern: string, isReplayed: boolean): RunningRequest | undefined {
    if (isReplayed) return new RunningRequest(pattern, true);
    if (this.early.size > 0 && this.early.delete(nameOf(replies, id))) return undefined;
    const request = new RunningRequest(pattern);
    let those = this.running.get(replies);
    if (!those) this.running.set(replies, (those = new Map()));
    those.set(id, request);
    return request;
  }

  /** Of another attempt that has begun meanwhile nothing is forgotten. */
  end(replies: string, id: string, request: RunningRequest): void {
    const those = this.running.get(replies);
    if (those?.get(id) !== request) return;
    those.delete(id);
    if (those.size === 0) this.running.delete(replies);
  }

  private heard(message: string): void {
    if (message === 'ready') return;
    const space = message.lastIndexOf(' ');
    const request = this.running.get(message.slice(0, space))?.get(message.slice(space + 1));
    if (request) return request.cancel();
    this.early.delete(message);
    this.early.set(message, performance.now());
    for (const [name, at] of this.early) {
      if (this.early.size <= MAX_REMEMBERED && performance.now() - at < REMEMBER_MS) break;
      this.early.delete(name);
    }
  }
}

/** Tells all servers that nobody waits for a request any more. */
export async function cancelRequest(redis: RedisConnection, namespace: string, replies: string, id: string): Promise<void> {
  await redis.commands.call('PUBLISH', [cancelChannel(namespace), nameOf(replies, id)]).catch(() => undefined); // a hint
}

function nameOf(replies: string, id: string): string {
  return `${replies} ${id}`;
}
