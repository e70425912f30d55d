import type { OptionProblem } from '../errors/index.js';
import { describe } from './names.js';

/** What is wrong with the options of a connection. */
export function checkConnection(connection: unknown, path: string): OptionProblem[] {
  if (typeof connection !== 'object' || connection === null || Array.isArray(connection)) return [{ path, message: `must be an object (got ${describe(connection)})` }];
  const { url, cluster, client, port } = connection as { url?: unknown; cluster?: { nodes?: unknown }; client?: unknown; port?: unknown };
  const problems: OptionProblem[] = [];
  if ([url, cluster, client].filter((x) => x !== undefined).length > 1) problems.push({ path, message: 'must have only one of url, cluster and client' });
  if (url !== undefined && (typeof url !== 'string' || !/^(rediss?|unix):\/\/|^\//.test(url))) problems.push({ path: `${path}.url`, message: `must be a redis:// or rediss:// URL (got ${describe(url)})` });
  if (cluster !== undefined && (!Array.isArray(cluster?.nodes) || cluster.nodes.length === 0)) problems.push({ path: `${path}.cluster.nodes`, message: 'must list at least one node' });
  if (client !== undefined && typeof (client as { duplicate?: unknown } | null)?.duplicate !== 'function') problems.push({ path: `${path}.client`, message: `must be an ioredis client (got ${describe(client)})` });
  if (hasKeyPrefix(connection)) problems.push({ path, message: 'must not have a keyPrefix: the names of streams and keys are shared with other programs; put it into the service name and the stream names' });
  if (port !== undefined && (typeof port !== 'number' || !(port > 0 && port < 65_536))) problems.push({ path: `${path}.port`, message: `must be a port number (got ${describe(port)})` });
  return problems;
}

/** ioredis would put it before some names and not before others, such as those in the replies. */
function hasKeyPrefix(connection: object): boolean {
  const { options, client, cluster } = connection as Partial<Record<'options' | 'client' | 'cluster', { options?: object } & object>>;
  const places = [connection, options, client?.options, cluster?.options] as Array<{ keyPrefix?: unknown; redisOptions?: { keyPrefix?: unknown } } | undefined>;
  return places.some((place) => Boolean(place?.keyPrefix) || Boolean(place?.redisOptions?.keyPrefix));
}
