import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Who this process is. An exclusive name belongs to one live process at a time; a shared one is only a label. */
export interface ConsumerIdentity {
  readonly name: string;
  readonly exclusive: boolean;
}

/**
 * The consumer name: the option, else POD_NAME, else POD_IP, else the host name (order of
 * redis-stream-client-go, host name added). The first two are claimed to be unique and stable, so a restarted
 * process replaces its own earlier incarnation at once; the others may be shared by several processes of a host.
 */
export function resolveIdentity(option: string | undefined, env: NodeJS.ProcessEnv = process.env): ConsumerIdentity {
  if (option) return { name: option, exclusive: true };
  if (env['POD_NAME']) return { name: clean(env['POD_NAME']), exclusive: true };
  return { name: clean(env['POD_IP'] || hostname()), exclusive: false };
}

/** Session ids are `name:incarnation`; IPv6 addresses and the like must not bring colons of their own. */
function clean(name: string): string {
  return name.replace(/[^A-Za-z0-9_.@-]/g, '_').slice(0, 200);
}

/** Of a group in which several of this process take part, or of processes that share the name and do different work. */
export function identityIn(role: string | undefined, identity: ConsumerIdentity): ConsumerIdentity {
  return role !== undefined && identity.exclusive ? { name: `${identity.name}@${role}`, exclusive: true } : identity;
}

export function newIncarnation(name: string): string {
  return `${name}:${randomBytes(6).toString('hex')}`;
}
