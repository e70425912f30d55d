import { hostname } from 'node:os';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkConsumerName } from '../../../libs/redis-streams/dist/keys/names.js';
import { newIncarnation, resolveIdentity } from '../../../libs/redis-streams/dist/session/identity.js';

describe('resolveIdentity', () => {
  it('takes the option, POD_NAME, POD_IP, the host name, in this order', () => {
    const env = { POD_NAME: 'pod-7', POD_IP: '10.0.0.7' };
    expect(resolveIdentity('mine', env)).toEqual({ name: 'mine', exclusive: true });
    expect(resolveIdentity(undefined, env)).toEqual({ name: 'pod-7', exclusive: true });
    expect(resolveIdentity(undefined, { POD_IP: '10.0.0.7' })).toEqual({ name: '10.0.0.7', exclusive: false });
    expect(resolveIdentity(undefined, {})).toEqual({ name: hostname().replace(/[^A-Za-z0-9_.@-]/g, '_'), exclusive: false });
    expect(resolveIdentity(undefined, { POD_NAME: '', POD_IP: '' }).exclusive).toBe(false);
  });

  it('whatever the environment holds becomes a valid name without a colon', () => {
    fc.assert(fc.property(fc.string({ minLength: 1, maxLength: 400 }), (text) => {
      const { name } = resolveIdentity(undefined, { POD_NAME: text });
      expect(checkConsumerName(name, 'p')).toEqual([]);
    }));
    expect(resolveIdentity(undefined, { POD_IP: 'fe80::1' }).name).toBe('fe80__1');
  });

  it('an incarnation is never used twice', () => {
    const all = new Set(Array.from({ length: 10_000 }, () => newIncarnation('a')));
    expect(all.size).toBe(10_000);
    for (const id of all) expect(id).toMatch(/^a:[0-9a-f]{12}$/);
  });
});
