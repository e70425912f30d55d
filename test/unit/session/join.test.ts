import { describe, expect, it } from 'vitest';
import { ConsumerNameInUseError } from '../../../libs/redis-streams/dist/errors/index.js';
import { joinScope } from '../../../libs/redis-streams/dist/session/join.js';
import type { SessionStore } from '../../../libs/redis-streams/dist/session/store.js';

/** One exclusive name on a server: who holds it until when, and what else happens before each answer. */
class Server {
  holder: string | undefined;
  deadline = 1_000;
  readonly rings: string[] = [];
  joins = 0;

  constructor(private readonly before: (server: Server) => void = () => undefined) {}

  store(): SessionStore {
    return {
      join: async (session: string, _name: string, _ttl: number, _meta: string, expected?: { holder: string; deadline: string }) => {
        this.joins++;
        this.before(this);
        if (this.holder && !(expected?.holder === this.holder && expected.deadline === String(this.deadline))) {
          return { status: 'contested', holder: this.holder, deadline: String(this.deadline) } as const;
        }
        this.holder = session;
        return { status: 'joined', nextPeerMs: -1 } as const;
      },
      ring: async (message: string) => void this.rings.push(message),
    } as unknown as SessionStore;
  }
}

const join = (server: Server, earlier?: string) => joinScope({
  store: server.store(), scope: 's-input', session: 'me:2', name: 'me', meta: '1', options: { ttlMs: 1_000, heartbeatMs: 300, marginMs: 50 }, timeoutMs: 100,
  earlier, signal: new AbortController().signal,
});

describe('joinScope', () => {
  it('takes a free name at once', async () => {
    const server = new Server();
    await join(server);
    expect(server.joins).toBe(1);
    expect(server.rings).toEqual([]);
  });

  it('replaces its own earlier session without asking', async () => {
    const server = new Server();
    server.holder = 'me:1';
    await join(server, 'me:1');
    expect(server.holder).toBe('me:2');
    expect(server.rings).toEqual([]);
    expect(server.joins).toBe(2);
  });

  it('its own earlier session may still be renewed by a heartbeat on its way: that is nobody else', async () => {
    // heartbeat sent, unanswered; the session is given up; then the server runs the heartbeat between two joins
    const server = new Server((s) => { if (s.joins === 2) s.deadline += 1_000; });
    server.holder = 'me:1';
    await join(server, 'me:1');
    expect(server.holder).toBe('me:2');
  });

  it('rings a stranger, and replaces it when it stays silent', async () => {
    const server = new Server();
    server.holder = 'me:1';
    const startedAt = performance.now();
    await join(server);
    expect(server.rings).toEqual(['challenge me:1']);
    expect(server.holder).toBe('me:2');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(250);
  });

  it('yields to a stranger that answers', async () => {
    const server: Server = new Server((s) => { if (s.rings.length > 0) s.deadline++; });
    server.holder = 'me:1';
    await expect(join(server)).rejects.toThrow(ConsumerNameInUseError);
    expect(server.holder).toBe('me:1');
  });

  it('yields to one that answers between the last look and the replacement', async () => {
    let last = Infinity;
    const server: Server = new Server((s) => {
      if (s.rings.length === 0) return;
      last = Math.min(last, performance.now());
      if (performance.now() - last > 230) s.deadline++;
    });
    server.holder = 'me:1';
    await expect(join(server)).rejects.toThrow(ConsumerNameInUseError);
  });

  it('of two newcomers one wins, the other is refused', async () => {
    const server = new Server();
    server.holder = 'me:0';
    const second = joinScope({
      store: server.store(), scope: 's-input', session: 'me:3', name: 'me', meta: '1', options: { ttlMs: 1_000, heartbeatMs: 300, marginMs: 50 }, timeoutMs: 100,
      signal: new AbortController().signal,
    });
    const results = await Promise.allSettled([join(server), second]);
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  });
});
