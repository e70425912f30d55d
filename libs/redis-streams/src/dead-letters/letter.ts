import { readHeaders } from '../handling/headers.js';
import { decodeAnnouncement } from '../kernel/announcement.js';
import { decodePayload } from '../kernel/room-wire.js';
import type { DeadLetter, DeadLetterDetails, DeadLetterKind } from './types.js';

/** Deeper announcements are shown in `fields` only. */
const MAX_DEPTH = 512;

/** A dead letter as it was read: its shard, its id there, its fields. */
export interface RawLetter {
  readonly shard: number;
  readonly id: string;
  readonly fields: Readonly<Record<string, string>>;
}

type Content = Pick<DeadLetter, 'data' | 'readable' | 'headers' | 'key'>;
type Fields = Readonly<Record<string, string>>;

const UNREADABLE: Pick<Content, 'data' | 'readable' | 'headers'> = { data: undefined, readable: false, headers: readHeaders('{}') };

/** Anything that lies there becomes a letter: what says nothing of itself must be seen as well. */
export function letterOf<K extends DeadLetterKind>(kind: K, { shard, id, fields }: RawLetter): DeadLetter<K> {
  const common = {
    kind,
    entryId: `${shard}:${id}`,
    reason: fields['reason'] ?? 'unknown',
    error: fields['error'] ?? '',
    attempts: number(fields['attempts'] ?? fields['tries']) ?? 0,
    at: Number(id.split('-')[0]),
    fields,
  };
  return { ...common, ...contentOf(kind, fields), details: DETAILS[kind](fields) };
}

/** The flat list of a stream entry. No prototype, so that no name means more than itself. */
export function recordOf(flat: readonly unknown[]): Fields {
  const fields = Object.create(null) as Record<string, string>;
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = String(flat[i]);
    // The first of a name is ours: the entry's own come behind it.
    if (!(name in fields)) fields[name] = String(flat[i + 1]);
  }
  return fields;
}

const DETAILS: { readonly [K in DeadLetterKind]: (fields: Fields) => DeadLetterDetails[K] } = {
  lease: (fields) => ({ stream: fields['stream'], id: fields['entryId'], failures: number(fields['failures']) ?? 0, owner: fields['owner'], token: number(fields['token']), checkpoint: fields['checkpoint'] || undefined }),
  partition: (fields) => ({ partition: number(fields['partition']) ?? -1, id: fields['id'], owner: fields['owner'], token: number(fields['token']) }),
  fanout: (fields) => ({ room: fields['room'] ?? '', id: fields['id'], priority: number(fields['priority']) ?? 0, sentAt: number(fields['sent']), who: (fields['who'] ?? '').split(',').filter(Boolean) }),
  queue: (fields) => ({ group: fields['group'], id: fields['id'], sentId: fields['entry.id'], owner: fields['owner'] }),
};

function contentOf(kind: DeadLetterKind, fields: Fields): Content {
  switch (kind) {
    case 'lease': {
      const decoded = decodeAnnouncement(Buffer.from(fields['entry.lbs-input'] ?? ''), MAX_DEPTH);
      const key = fields['stream'] ?? (decoded.ok ? decoded.stream : undefined);
      return decoded.ok ? { ...UNREADABLE, data: decoded.info, readable: true, key } : { ...UNREADABLE, key };
    }
    case 'fanout': {
      const key = fields['room'];
      // Without an id it was no message.
      if (fields['id'] === undefined) return { ...UNREADABLE, key };
      try {
        return { ...decodePayload(fields['entry'] ?? ''), readable: true, key };
      } catch {
        return { ...UNREADABLE, key };
      }
    }
    case 'partition':
    case 'queue': {
      const rest = { headers: readHeaders(fields['entry.headers'] ?? '{}'), key: fields['entry.key'] };
      try {
        return { data: JSON.parse(fields['entry.data'] ?? '') as unknown, readable: true, ...rest };
      } catch {
        return { ...UNREADABLE, ...rest };
      }
    }
  }
}

function number(text: string | undefined): number | undefined {
  return text === undefined || text === '' || !Number.isFinite(Number(text)) ? undefined : Number(text);
}
