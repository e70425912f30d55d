export interface RedisBinary {
  /** Absolute path of redis-server or valkey-server. */
  server: string;
  /** The redis-cli or valkey-cli beside it, if there is one. */
  cli: string | undefined;
  kind: 'redis' | 'valkey';
  version: string;
  source: 'path' | 'cache';
}
export interface InstallFacts {
  platform: NodeJS.Platform;
  root: boolean;
  debian: boolean;
  apt: boolean;
  make: boolean;
  compiler: boolean;
}
export declare const MINIMUM_MAJOR: number;
/** The shell script behind the apt-get step; POLICY_FILE and PATH are its only inputs. */
export declare const APT_SCRIPT: string;
export declare function redisCacheDir(env?: NodeJS.ProcessEnv): string;
export declare function findRedisBinary(options?: { env?: NodeJS.ProcessEnv }): RedisBinary | undefined;
export declare function installPlan(facts?: InstallFacts): ('apt-get' | 'download')[];
export declare function ensureRedisBinary(options?: { log?: (line: string) => void }): Promise<RedisBinary>;
