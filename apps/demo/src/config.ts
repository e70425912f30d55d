/**
 * What a role (API, consumer, producer, worker, payer, gateway, ticker, processor, sender, microservice) needs to know. It comes by the environment, because the supervisor starts
 * roles as processes, and because decorators need the service's name when their module is loaded.
 */
export interface RoleConfig {
  readonly redisUrl: string;
  readonly service: string;
  /** Where payments are booked, finished jobs stamped, or handled events registered: a server besides the one that carries them. Undefined: none. */
  readonly bankUrl: string | undefined;
  /** Consumer name; undefined: POD_NAME, POD_IP or the host name, as the library chooses. */
  readonly name: string | undefined;
  /** Which service a microservice is an instance of. */
  readonly duty: string;
  /** Work is this many times faster than 4 / 2 / 1 seconds. */
  readonly speed: number;
  /** Streams announced, or payments sent, a second; or ticks a second and room. */
  readonly rate: number;
  /** Jobs to send. */
  readonly messages: number;
  readonly ttlMs: number;
  /** Overloaded consumers hand streams to one that joins. */
  readonly handOver: boolean;
  /** One line a stream is too much at high load. */
  readonly quiet: boolean;
  readonly host: string;
  /** Port of the API; when it is taken, a free one. */
  readonly port: number;
}

export const DEFAULTS: RoleConfig = {
  redisUrl: 'redis://127.0.0.1:6379', service: 'orders', bankUrl: undefined, name: undefined, duty: 'orders', speed: 1, rate: 2, messages: 200_000, ttlMs: 2_000,
  handOver: false, quiet: false, host: '127.0.0.1', port: 3_000,
};

const VARIABLE = 'DEMO_ROLE';

export function toEnvironment(config: RoleConfig): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(config) };
}

export function readConfig(env: NodeJS.ProcessEnv = process.env): RoleConfig {
  return { ...DEFAULTS, ...(JSON.parse(env[VARIABLE] ?? '{}') as Partial<RoleConfig>) };
}
