/**
 * Whether a server that was asked for no answers (`CLIENT REPLY OFF`) still tells this client what is said in its channels
 * meanwhile, judged by its answer to `HELLO`: keys and values. Redis since 6.2.12 and 7.0.10, which fixed it, and all of Valkey.
 */
export function hearsWhileHushed(hello: unknown): boolean {
  if (!Array.isArray(hello)) return false;
  const server: unknown = hello[hello.indexOf('server') + 1];
  const version: unknown = hello[hello.indexOf('version') + 1];
  if (server === 'valkey') return true;
  if (server !== 'redis' || typeof version !== 'string') return false;
  const [major = NaN, minor = NaN, patch = NaN] = version.split('.').map(Number);
  if (major === 6) return minor === 2 && patch >= 12;
  if (major === 7 && minor === 0) return patch >= 10;
  return major >= 7;
}
