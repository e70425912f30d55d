import { randomBytes } from 'node:crypto';
import type { RedisStreamsEngine } from '../engine.js';
import { broadcastGroup, broadcastPrefix } from '../keys/transport-keys.js';
import type { QueueRef } from '../queue/client.js';

/** A group is taken for left when nobody was in it at two looks so far apart, at least. */
const MIN_EVERY_MS = 10_000;

/**
 * Groups of single instances: each instance has one of its own for what is broadcast, and takes it along when it stops. Those
 * of instances that died are removed by the others of the service, since a group that nobody reads keeps every event.
 */
export class Broadcasts {
  readonly group: string;
  private readonly queues = new Map<string, QueueRef>();
  private suspects = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly engine: RedisStreamsEngine,
    private readonly connection: string,
    private readonly service: string,
    private readonly everyMs: number,
    private readonly onError: (error: Error, during: string) => void,
  ) {
    this.group = broadcastGroup(service, randomBytes(6).toString('hex'));
  }

  add(ref: QueueRef): void {
    this.queues.set(ref.queue, ref);
    this.timer ??= setInterval(() => void this.look(), Math.max(MIN_EVERY_MS, this.everyMs)).unref();
  }

  /** After its consumers have stopped. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await Promise.all([...this.queues.values()].map((ref) => this.remove(ref, this.group)));
    this.queues.clear();
  }

  private async look(): Promise<void> {
    const seen = new Set<string>();
    for (const ref of this.queues.values()) {
      try {
        const queues = this.engine.queues(this.connection);
        const { groups } = await queues.stats(ref, this.group);
        for (const group of groups.filter((name) => name !== this.group && name.startsWith(broadcastPrefix(this.service)))) {
          if ((await queues.stats(ref, group)).consumers > 0) continue;
          const name = `${ref.queue} ${group}`;
          if (this.suspects.has(name)) await this.remove(ref, group);
          else seen.add(name);
        }
      } catch {
        // With the next look.
      }
    }
    this.suspects = seen;
  }

  private async remove(ref: QueueRef, group: string): Promise<void> {
    await this.engine.queues(this.connection).removeGroup(ref, group).catch((error: Error) => this.onError(error, `removing the group ${group} of an instance that has ended`));
  }
}
