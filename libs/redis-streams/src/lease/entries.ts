import type { HeldLease } from './held-lease.js';
import type { StreamTailer } from './tailer.js';
import type { EntriesOptions, StreamEntry } from './types.js';

/**
 * The entries of a leased stream, in order, from the checkpoint on. Ends when the lease is done; throws its
 * LeaseAbortedError when it is aborted, also between two entries of one batch, so that a `for await` loop
 * stops where ownership stopped.
 */
export async function* leaseEntries(lease: HeldLease, tailer: StreamTailer, options: EntriesOptions): AsyncIterableIterator<StreamEntry> {
  let after = options.after ?? lease.lastCheckpoint ?? '0-0';
  const count = Math.max(1, Math.trunc(options.batch ?? 100));
  for (;;) {
    lease.throwIfAborted();
    if (!lease.isOpen) return;
    const { entries, cancel } = tailer.read(lease.stream, after, count, options.idleMs);
    const forget = lease.onAbort(cancel);
    let batch: StreamEntry[];
    try {
      batch = await entries;
    } finally {
      forget();
    }
    lease.throwIfAborted();
    if (batch.length === 0) return; // idle for as long as the caller wanted, or done
    for (const entry of batch) {
      lease.throwIfAborted();
      if (!lease.isOpen) return;
      yield entry;
      after = entry.id;
    }
  }
}
