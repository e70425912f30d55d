import { errorText, plainText } from '../handling/error-text.js';
import type { PartitionWindow, WindowEntry } from '../kernel/partition-window.js';
import { BatchDelivery, type Delivery, type DeliveryHost, Message, type RawMessage, SingleDelivery } from './delivery.js';
import type { PartitionHandlers } from './types.js';

type Entry = WindowEntry<RawMessage>;

/** A message that no handler can be given. */
export class UnreadableError extends Error {
  constructor(
    readonly entry: Entry,
    readonly reason: 'missing-data' | 'invalid-json',
    message: string,
  ) {
    super(message);
  }
}

/** What is handed over at once, and how: single messages or batches. */
export interface DeliveryFactory {
  readonly batched: boolean;
  /** What may be handled now; empty: nothing. */
  take(window: PartitionWindow<RawMessage>): readonly Entry[];
  /** @throws UnreadableError */
  make(host: DeliveryHost, entries: readonly Entry[], now: number): Delivery;
  call(delivery: Delivery): unknown;
}

export function singles(handler: NonNullable<PartitionHandlers['message']>): DeliveryFactory {
  return {
    batched: false,
    take: (window) => {
      const entry = window.take();
      return entry ? [entry] : [];
    },
    make: (host, entries, now) => new SingleDelivery(host, entries, dataOf(entries[0]!), now),
    call: (delivery) => handler((delivery as SingleDelivery).data, delivery as SingleDelivery),
  };
}

/** A message that failed before runs alone, so that one that cannot succeed does not keep its neighbours. */
export function batches(handler: NonNullable<PartitionHandlers['batch']>, size: number): DeliveryFactory {
  return {
    batched: true,
    take: (window) => {
      const first = window.take();
      if (!first) return [];
      const entries = [first];
      if (first.failures > 0) return entries;
      const keys = new Set<string>();
      if (first.key !== undefined) keys.add(first.key);
      while (entries.length < size) {
        const entry = window.take(keys);
        if (!entry) break;
        if (entry.failures > 0) {
          if (window.putBack(entry)) window.retry(entry);
          break;
        }
        if (entry.key !== undefined) keys.add(entry.key);
        entries.push(entry);
      }
      return entries.sort((a, b) => a.order - b.order);
    },
    make: (host, entries, now) => new BatchDelivery(host, entries, entries.map((entry) => messageOf(host.partition, entry)), now),
    call: (delivery) => {
      const batch = delivery as BatchDelivery;
      return handler(batch.messages.map(({ data }) => data), batch);
    },
  };
}

function messageOf(partition: number, entry: Entry): Message {
  return new Message(entry.id, partition, entry.key, dataOf(entry), entry.failures + 1, entry.value.headers);
}

function dataOf(entry: Entry): unknown {
  const raw = entry.value.data;
  if (raw === undefined) throw new UnreadableError(entry, 'missing-data', 'the entry has no field "data"');
  try {
    return JSON.parse(raw) as unknown;
  } catch (error) {
    throw new UnreadableError(entry, 'invalid-json', `the field "data" is not JSON: ${(error as Error).message}`);
  }
}

const MAX_FIELDS = 64;

/** A dead letter: what is known about the end, then the entry's own fields behind `entry.`, so that none passes for ours. */
export function deadLetterFields(host: DeliveryHost & { readonly session: string }, entry: Entry, reason: string, error: Error | undefined): string[] {
  const fields = [
    'reason', plainText(reason), 'error', errorText(error), 'stream', host.stream, 'group', host.group, 'partition', String(host.partition),
    'id', entry.id, 'attempts', String(Math.max(1, entry.failures)), 'owner', host.session, 'token', String(host.token),
  ];
  const { key, data, headers, other } = entry.value;
  if (key !== undefined) fields.push('entry.key', key);
  if (data !== undefined) fields.push('entry.data', data);
  if (headers !== undefined) fields.push('entry.headers', headers);
  for (const [i, text] of (other ?? []).slice(0, MAX_FIELDS * 2).entries()) fields.push(i % 2 === 0 ? `entry.${text}` : text);
  return fields;
}
