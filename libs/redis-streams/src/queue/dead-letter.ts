import { errorText, plainText } from '../handling/error-text.js';
import type { HeldMessage } from './held-message.js';

const MAX_FIELDS = 64;

/** A dead letter: what is known about the end, then the entry's own fields behind `entry.`, so that none passes for ours. */
export function deadLetterFields(
  place: { readonly queue: string; readonly group: string; readonly shard: number; readonly owner: string },
  held: HeldMessage,
  reason: string,
  error: Error | undefined,
): string[] {
  const fields = [
    'reason', plainText(reason), 'error', errorText(error), 'queue', place.queue, 'group', place.group, 'shard', String(place.shard),
    'id', held.id, 'attempts', String(Math.max(1, held.failures + held.crashes)), 'owner', place.owner,
  ];
  const { key, data, headers, other } = held.message;
  if (key !== undefined) fields.push('entry.key', key);
  if (data !== undefined) fields.push('entry.data', data);
  if (headers !== undefined) fields.push('entry.headers', headers);
  for (const [i, text] of (other ?? []).slice(0, MAX_FIELDS * 2).entries()) fields.push(i % 2 === 0 ? `entry.${text}` : text);
  return fields;
}
