import type { WindowEntry } from '../kernel/partition-window.js';
import type { RawMessage } from './delivery.js';
import type { OwnedPartition } from './owned-partition.js';

/** What a partition asks of its consumer. */
export interface PartitionOwnerHost {
  readonly session: string;
  /** How long the stream keeps what is committed. */
  readonly keepMs: number;
  isLive(): boolean;
  /** Progress is to be committed soon. */
  dirty(partition: OwnedPartition): void;
  /** Resolves when all progress so far is stored. @throws FencedError */
  flush(partition: OwnedPartition): Promise<void>;
  /** Messages may be read again. */
  roomMade(partition: OwnedPartition): void;
  /** Runs one suspect at a time in this process; resolves with the function that ends its turn. */
  alone(): Promise<() => void>;
  retried(partition: OwnedPartition, entry: WindowEntry<RawMessage>, delayMs: number, error: Error): void;
  deadLettered(partition: OwnedPartition, entry: WindowEntry<RawMessage>, reason: string, error: Error | undefined): void;
  /** The handler failed after it had acknowledged the message itself. */
  failedLate(partition: OwnedPartition, id: string, error: Error): void;
}
