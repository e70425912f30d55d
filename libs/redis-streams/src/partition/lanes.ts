import type { RedisConnection } from '../redis/connection.js';
import type { OwnedPartition } from './owned-partition.js';
import type { ReadChannel } from '../redis/read-channel.js';
import { Lane, type ReaderHost } from './reader.js';

/** All lanes of one consumer. */
export class PartitionReader {
  private readonly lanes = new Map<OwnedPartition, Lane>();
  /** For the first lane. */
  private spare: ReadChannel | undefined;
  private stopped = false;

  constructor(
    private readonly redis: RedisConnection,
    private readonly host: ReaderHost,
  ) {}

  /** Opens a connection before there is anything to read, so that the first partition does not wait for it. Never rejects. */
  async warmUp(key: string): Promise<void> {
    if (this.redis.isCluster) return; // which node it will be is not known
    const channel = this.redis.readingFor(key);
    try {
      await channel.read(['XREAD', 'COUNT', 1, 'STREAMS', key, '$'], 0);
      if (this.stopped) return channel.close();
      this.spare = channel;
    } catch {
      channel.close(); // whoever reads next finds out why
    }
  }

  add(partition: OwnedPartition, shard: number): void {
    const slot = this.redis.isCluster ? shard : 0;
    const lane = [...new Set(this.lanes.values())].find((candidate) => candidate.shard === slot && candidate.hasRoom) ?? this.open(slot);
    this.lanes.set(partition, lane);
    lane.add(partition);
  }

  remove(partition: OwnedPartition): void {
    const lane = this.lanes.get(partition);
    this.lanes.delete(partition);
    lane?.remove(partition);
    if (lane?.isEmpty) void lane.stop();
  }

  roomMade(partition: OwnedPartition): void {
    this.lanes.get(partition)?.roomMade(partition);
  }

  private open(slot: number): Lane {
    const { spare } = this;
    this.spare = undefined;
    return new Lane(this.redis, slot, this.host, spare);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.spare?.close();
    const lanes = new Set(this.lanes.values());
    this.lanes.clear();
    await Promise.all([...lanes].map((lane) => lane.stop()));
  }
}
