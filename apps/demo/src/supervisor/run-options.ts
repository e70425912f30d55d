import { DEFAULTS, type RoleConfig } from '../config.js';

/** One run of the whole demo, as asked for. */
export interface RunOptions {
  readonly consumers: number;
  readonly rate: number;
  readonly speed: number;
  /** Jobs to send through the queue. */
  readonly messages: number;
  readonly ttlMs: number;
  /** Added to all that is promised of time, where the machine has other things to do. */
  readonly slackMs: number;
  readonly handOver: boolean;
  readonly quiet: boolean;
  readonly host: string;
  readonly port: number;
  /** Undefined: until Ctrl-C. */
  readonly seconds: number | undefined;
  readonly summary: string | undefined;
}

export function roleConfig(options: RunOptions, redisUrl: string, service: string, name?: string): RoleConfig {
  const { speed, rate, messages, ttlMs, handOver, quiet, host, port } = options;
  return { redisUrl, service, bankUrl: undefined, name, duty: DEFAULTS.duty, speed, rate, messages, ttlMs, handOver, quiet, host, port };
}
