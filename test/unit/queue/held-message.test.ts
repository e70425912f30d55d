import { describe, expect, it } from 'vitest';
import { deadLetterFields } from '../../../libs/redis-streams/dist/queue/dead-letter.js';
import { HeldMessage } from '../../../libs/redis-streams/dist/queue/held-message.js';

const message = (other?: string[]) => ({ id: '5-1', key: undefined, data: '1', headers: undefined, other });

describe('HeldMessage', () => {
  it('is suspect when its consumer died with it, or a process died while it was known to run it', () => {
    expect(new HeldMessage(message()).isSuspect).toBe(false);
    expect(new HeldMessage(message(), 3).isSuspect).toBe(false);
    expect(new HeldMessage(message(), 0, 0, true).isSuspect).toBe(true);
    expect(new HeldMessage(message(), 0, 1).isSuspect).toBe(true);
  });

  it('is written down as failures, crashes, and that it is not begun', () => {
    const held = new HeldMessage(message(), 2, 1);
    held.failures++;
    expect(held.record).toBe('3 1 0');
  });

  it('finds a field by its name, not by a value of that name', () => {
    const held = new HeldMessage(message(['x', 'to', 'to', 'there', 'to', 'second', 'id', '']));
    expect([held.field('to'), held.field('x'), held.field('id'), held.field('there'), held.field('toString')]).toEqual(['there', 'to', '', undefined, undefined]);
    expect(new HeldMessage(message()).field('to')).toBeUndefined();
  });
});

describe('a dead letter', () => {
  const place = { queue: 'q', group: 'g', shard: 2, owner: 's:1' };
  const asObject = (fields: string[]): Record<string, string> => Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i]!, fields[2 * i + 1]!]));

  it('keeps the entry behind `entry.`, so that no field of it passes for ours', () => {
    const held = new HeldMessage({ id: '5-1', key: 'k', data: '{}', headers: '{"a":"b"}', other: ['reason', 'forged', 'group', 'forged', 'id', 'mine'] }, 2, 1);
    expect(asObject(deadLetterFields(place, held, 'max-attempts', new Error('why')))).toEqual({
      reason: 'max-attempts', error: 'why', queue: 'q', group: 'g', shard: '2', id: '5-1', attempts: '3', owner: 's:1',
      'entry.key': 'k', 'entry.data': '{}', 'entry.headers': '{"a":"b"}', 'entry.reason': 'forged', 'entry.group': 'forged', 'entry.id': 'mine',
    });
  });

  it('has at least one attempt, leaves out what is not there, and keeps so many foreign fields at most', () => {
    const held = new HeldMessage({ id: '5-1', key: undefined, data: undefined, headers: undefined, other: Array.from({ length: 400 }, (_, i) => String(i)) });
    const fields = deadLetterFields(place, held, 'missing-data', undefined);
    expect(asObject(fields)).toMatchObject({ reason: 'missing-data', error: '', attempts: '1', 'entry.0': '1', 'entry.126': '127' });
    expect(fields.length).toBe(16 + 128);
    expect(fields).not.toContain('entry.data');
  });
});
