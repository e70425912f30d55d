/**
 * Every key of the lease capability. The stream and the group are named as redis-stream-client-go names
 * them; our own keys borrow the stream's slot: the hash tag `{<service>-input}` hashes to the slot of the
 * untagged key `<service>-input`, because a key without braces is hashed whole.
 */
export interface LeaseKeys {
  /** The load-balancer stream (LBS), `<service>-input`. */
  readonly lbs: string;
  /** Its consumer group, `<service>-group`. */
  readonly group: string;
  /** ZSET session id -> deadline in server milliseconds. */
  readonly sessions: string;
  /** HASH session id -> capacity (`maxLeases`). */
  readonly members: string;
  /** HASH exclusive consumer name -> its current session id. */
  readonly names: string;
  /** HASH data stream -> lease record, see scripts/lua/include/record.lua. */
  readonly leases: string;
  /** HASH data stream -> last checkpointed entry id. */
  readonly checkpoints: string;
  /** ZSET LBS entry id -> server time in ms from which anybody may take it. */
  readonly free: string;
  /** HASH data stream -> LBS entry id of its follow-up announcement. */
  readonly followUps: string;
  /** STRING the highest fencing token granted so far. */
  readonly epoch: string;
  /** HASH session id -> last settle batch and its answers, for resends. */
  readonly settled: string;
  /** STREAM what could not be handled, with the reason. */
  readonly dead: string;
  /** Pub/sub channel that says "look again". A hint only. */
  readonly bell: string;
}

export function leaseKeys(service: string): LeaseKeys {
  const lbs = `${service}-input`;
  const own = (name: string): string => `{${lbs}}:${name}`;
  return {
    lbs,
    group: `${service}-group`,
    sessions: own('sessions'),
    members: own('members'),
    names: own('names'),
    leases: own('leases'),
    checkpoints: own('checkpoints'),
    free: own('free'),
    followUps: own('follow-ups'),
    epoch: own('epoch'),
    settled: own('settled'),
    dead: own('dead'),
    bell: own('bell'),
  };
}

/** STRING one announcer's last batch and its answers, for resends. Expires. */
export function announcerKey(keys: LeaseKeys, announcer: string): string {
  return `{${keys.lbs}}:announcer:${announcer}`;
}
