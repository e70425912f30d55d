import { ConnectionError } from '../errors/index.js';
import type { RedisConnection } from '../redis/connection.js';

/** Keys of the scope a session is a member of; all in one slot. */
export interface SessionKeys {
  readonly sessions: string;
  readonly members: string;
  readonly names: string;
  readonly bell: string;
}

export type JoinReply =
  | { readonly status: 'joined'; readonly nextPeerMs: number }
  | { readonly status: 'contested'; readonly holder: string; readonly deadline: string };

export type HeartbeatReply =
  | { readonly status: 'live'; readonly nextPeerMs: number }
  | { readonly status: 'lost' }
  | { readonly status: 'replaced'; readonly by: string };

/** Redis I/O of membership. */
export class SessionStore {
  constructor(
    private readonly redis: RedisConnection,
    private readonly keys: SessionKeys,
  ) {}

  async join(
    session: string,
    name: string,
    ttlMs: number,
    meta: string,
    expected: { holder: string; deadline: string } | undefined,
    timeoutMs: number,
  ): Promise<JoinReply> {
    const { sessions, members, names, bell } = this.keys;
    const reply = (await this.redis.scripts.run(
      'join',
      [sessions, members, names],
      [session, name, ttlMs, meta, expected?.holder ?? '', expected?.deadline ?? '', bell],
      { timeoutMs },
    )) as [string, unknown, unknown];
    if (reply[0] === 'CONTESTED') return { status: 'contested', holder: String(reply[1]), deadline: String(reply[2]) };
    return { status: 'joined', nextPeerMs: Number(reply[1]) };
  }

  async heartbeat(session: string, name: string, ttlMs: number, timeoutMs: number, keepConnection = false): Promise<HeartbeatReply> {
    const reply = (await this.redis.scripts.run('heartbeat', [this.keys.sessions, this.keys.names], [session, name, ttlMs], {
      timeoutMs,
      keepConnection,
    })) as [string, unknown];
    switch (reply[0]) {
      case 'LIVE':
        return { status: 'live', nextPeerMs: Number(reply[1]) };
      case 'LOST':
        return { status: 'lost' };
      case 'REPLACED':
        return { status: 'replaced', by: String(reply[1]) };
      default:
        throw new ConnectionError(`unexpected heartbeat reply ${String(reply[0])}`);
    }
  }

  async ring(message: string): Promise<void> {
    await this.redis.commands.call('PUBLISH', [this.keys.bell, message]);
  }
}
