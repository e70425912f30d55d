/**
 * What the workers write down, in the order in which the ledger's server took it in.
 *
 *  assigned  the library said that the partition is this worker's now; detail: from whom (free, dead, regranted)
 *  active    the hook for assigned partitions has returned: from here on a message can be delivered
 *  draining  the partition began to be given back (written down when that was done)
 *  revoked   it was given back cleanly; detail: why
 *  lost      it was taken; detail: why
 *  attempt   a handler began; detail: the message's id
 *  effect    a handler's write under the token; detail: what the ledger made of it, see `Outcome`
 *  ack       the library said that the message is acknowledged for good
 *  parked    the library gave a message up; detail: why
 */
export type Kind = 'assigned' | 'active' | 'draining' | 'revoked' | 'lost' | 'attempt' | 'effect' | 'ack' | 'parked';

/**
 * applied  the token is the highest seen for the partition, and the number is the next of its key
 * stale    a higher token has been seen: refused, whatever the number
 * again    applied before: refused. A re-run, as at-least-once delivery allows after a loss - and only then
 * gap      one of its key is missing in between: refused. With a valid token that is never right: the owner was
 *          handed a message although an earlier one of its key has had no effect, so it was overtaken or lost
 */
export type Outcome = 'applied' | 'stale' | 'again' | 'gap';

export interface Entry {
  readonly kind: Kind;
  /** Server milliseconds at the worker. */
  readonly at: number;
  readonly by: string;
  readonly partition: number;
  readonly token: number;
  readonly key: string;
  readonly seq: number;
  readonly detail: string;
}

/**
 * Any word of a token raises the partition's fence to it, also that it was assigned: an effect of an earlier owner
 * that comes later is refused, which proves without comparing clocks that the later owner had opened the
 * partition before; so the earlier owner's acknowledgement of it must be refused by the library.
 */
export const RECORD = `-- KEYS 1 log 2 fences 3 applied 4 effects  ARGV kind at by partition token key seq detail
local kind, partition, token, detail = ARGV[1], ARGV[4], tonumber(ARGV[5]), ARGV[8]
local fence = tonumber(redis.call('HGET', KEYS[2], partition) or '0')
if token > fence then redis.call('HSET', KEYS[2], partition, ARGV[5]) end
if kind == 'effect' then
  local unit, seq = partition .. '/' .. ARGV[6], tonumber(ARGV[7])
  local last = tonumber(redis.call('HGET', KEYS[3], unit) or '0')
  if token < fence then detail = 'stale'
  elseif seq <= last then detail = 'again'
  elseif seq > last + 1 then detail = 'gap'
  else
    detail = 'applied'
    redis.call('HSET', KEYS[3], unit, seq)
    redis.call('INCR', KEYS[4])
  end
end
redis.call('RPUSH', KEYS[1], table.concat({ kind, ARGV[2], ARGV[3], partition, ARGV[5], ARGV[6], ARGV[7], detail }, ' '))
return detail`;

export const KEYS = ['log', 'fences', 'applied', 'effects'] as const;

export function lineOf({ kind, at, by, partition, token, key, seq, detail }: Entry): string[] {
  return [kind, at.toFixed(3), by, String(partition), String(token), key, String(seq), detail];
}

export function entryOf(line: string): Entry {
  const [kind, at, by, partition, token, key, seq, detail] = line.split(' ') as [Kind, string, string, string, string, string, string, string];
  return { kind, at: Number(at), by, partition: Number(partition), token: Number(token), key, seq: Number(seq), detail };
}
