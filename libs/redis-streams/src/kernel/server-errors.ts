import { RedisStreamsError } from '../errors/index.js';

const TRANSIENT = /^(LOADING|READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|BUSY|OOM|NOREPLICAS|MISCONF|UNBLOCKED|NOGROUP|UNKILLABLE)\b/;
const TRANSPORT = /connection is closed|connection (was |is )?(lost|ended)|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|refresh slots cache|none of startup nodes|cluster is (ended|disconnect)|node is disconnected|stream isn't writeable|too many cluster redirections|all nodes failed|max retries per request|command timed out|command aborted/i;

/** Whether sending the same command again may succeed: a passing state of the server, or of the way to it. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RedisStreamsError) return error.retriable;
  if (!(error instanceof Error)) return false;
  return TRANSIENT.test(error.message) || TRANSPORT.test(error.message) || TRANSPORT.test(String((error as { code?: unknown }).code ?? ''));
}

/** A script stopped by maxmemory: said plainly, since only the operator can help. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /\bOOM\b/.test(error.message);
}
