import type { ChannelHooks } from './command-channel.js';
import { send, type Client } from './compat.js';
import { withDeadline } from './deadline.js';

const CHECK_MS = 5_000;
const ANSWER_MS = 2_000;

/**
 * Pub/sub that says "look again". A lost ring costs time, never work: whoever listens also looks at every
 * heartbeat. Listeners are rung once after each (re)connect, since rings may have been missed.
 */
export class Doorbell {
  private client: Client | undefined;
  private check: NodeJS.Timeout | undefined;
  private closed = false;
  private readonly listeners = new Map<string, Set<(message: string) => void>>();

  constructor(
    private readonly create: () => Client,
    private readonly hooks: ChannelHooks,
  ) {}

  /** @returns a function that stops listening. */
  listen(channel: string, listener: (message: string) => void): () => void {
    const set = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, set);
    set.add(listener);
    if (!this.client) this.open();
    else if (set.size === 1) this.subscribe(this.client, channel);
    return () => {
      set.delete(listener);
      if (set.size > 0 || this.listeners.get(channel) !== set) return;
      this.listeners.delete(channel);
      if (this.client && !this.closed) send(this.client, false, 'UNSUBSCRIBE', [channel]).catch(() => undefined);
    };
  }

  close(): void {
    this.closed = true;
    clearInterval(this.check);
    this.client?.disconnect();
    this.client = undefined;
  }

  private open(): void {
    const client = this.create();
    let connected = false;
    this.client = client;
    client.on('error', (error: Error) => this.client === client && !this.closed && this.hooks.error(error));
    client.on('message', (channel: string, message: string) => {
      for (const listener of this.listeners.get(channel) ?? []) listener(message);
    });
    client.on('ready', () => {
      if (this.client !== client) return;
      this.hooks.ready();
      // Again, after a break. Not left to ioredis: nobody hears how its own attempt ends, and a stop in the midst of it
      // would be an unhandled rejection, which ends the process.
      if (connected) for (const channel of this.listeners.keys()) this.subscribe(client, channel);
      connected = true;
      for (const listeners of this.listeners.values()) for (const listener of listeners) listener('ready');
    });
    for (const channel of this.listeners.keys()) this.subscribe(client, channel);
    this.check ??= setInterval(() => void this.ping(), CHECK_MS).unref();
  }

  private subscribe(client: Client, channel: string): void {
    client.subscribe(channel).then(
      // Connected is not yet subscribed, on Cluster by far: what rang until now was not heard.
      () => {
        if (this.client !== client || this.closed) return;
        for (const listener of this.listeners.get(channel) ?? []) listener('ready');
      },
      (error: Error) => {
        // For example an ACL without channel permissions: heartbeats still find everything, only later. Scripts
        // ring through pcall for the same reason.
        if (this.client === client && !this.closed) this.hooks.error(error);
      },
    );
  }

  /** A half-open subscriber looks exactly like a quiet one; only an answer tells them apart. */
  private async ping(): Promise<void> {
    const client = this.client;
    if (!client || this.closed || client.status !== 'ready') return;
    try {
      // Subscribing again to what we are subscribed to is answered by the server and changes nothing.
      const channel = this.listeners.keys().next().value;
      if (channel === undefined) return;
      await withDeadline(client.subscribe(channel), ANSWER_MS, () => new Error('subscriber silent'));
    } catch {
      if (this.client !== client || this.closed) return;
      client.disconnect();
      this.hooks.replaced(`subscriber unanswered for ${ANSWER_MS} ms`);
      this.open();
    }
  }
}
