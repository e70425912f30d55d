import type { RedisConnection } from '../redis/connection.js';
import type { OwnedPartition } from './owned-partition.js';
import { Lane, type ReaderHost } from './reader.js';

/** All lanes of one consumer. */
export class PartitionReader {
  private readonly lanes = new Map<OwnedPartition, Lane>();

  constructor(
    private readonly redis: RedisConnection,
    private readonly host: ReaderHost,
  ) {}

  add(partition: OwnedPartition, shard: number): void {
    const slot = this.redis.isCluster ? shard : 0;
    const lane = [...new Set(this.lanes.values())].find((candidate) => candidate.shard === slot && candidate.hasRoom) ?? new Lane(this.redis, slot, this.host);
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

  async stop(): Promise<void> {
    const lanes = new Set(this.lanes.values());
    this.lanes.clear();
    await Promise.all([...lanes].map((lane) => lane.stop()));
  }
}
