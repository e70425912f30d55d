/**
 * Every key of the partition capability. A stream's partitions are spread over `shards` hash tags, and each consumer
 * group coordinates under a tag of its own, so that on Cluster neither many streams nor many groups meet in one slot.
 * What one script touches has one tag: a partition with its fences and dead letters, or a group with its owners.
 */
export interface ShardKeys {
  /** STREAM the messages of a partition. */
  partition(partition: number): string;
  /** HASH partition -> epoch, commit and what is known about its messages, see scripts/lua/include/position.lua. */
  positions(group: string): string;
  /** STREAM messages that were given up, with the reason. */
  dead(group: string): string;
  /** HASH a producer's last batches and their answers, for resends. Expires. */
  producer(producer: string): string;
  /** HASH partition -> messages dropped unread, for `whenFull: 'drop-oldest'`. */
  readonly dropped: string;
}

export interface GroupKeys {
  /** ZSET session id -> deadline in server milliseconds. */
  readonly sessions: string;
  /** HASH session id -> member name, and `#session id` -> number of its last sync. */
  readonly members: string;
  /** HASH exclusive consumer name -> its current session id. */
  readonly names: string;
  /** HASH member name -> its session id, or `-` while its seat is kept: the members the target is made for. */
  readonly roster: string;
  /** ZSET member name -> server milliseconds until which its seat is kept. */
  readonly away: string;
  /** HASH generation, planned generation, revision, planner, epoch, paused partitions. */
  readonly group: string;
  /** HASH member name -> its partitions. */
  readonly target: string;
  /** HASH partition -> "session epoch", or "- epoch" when it is free. */
  readonly owners: string;
  /** Pub/sub channel that says "look again". A hint only. */
  readonly bell: string;
}

/** A stream's registration: HASH, by its full name. */
export function registrationKey(stream: string): string {
  return `{${stream}}:stream`;
}

export function shardKeys(stream: string, shard: number): ShardKeys {
  const own = (name: string): string => `{${stream}/${shard}}:${name}`;
  return {
    partition: (partition) => own(String(partition)),
    positions: (group) => own(`positions:${group}`),
    dead: (group) => own(`dead:${group}`),
    producer: (producer) => own(`producer:${producer}`),
    dropped: own('dropped'),
  };
}

/** A partition's shard: neighbours lie apart, so that a consumer with few partitions still uses many masters. */
export function shardOf(partition: number, shards: number): number {
  return partition % shards;
}

export function groupKeys(stream: string, group: string): GroupKeys {
  const own = (name: string): string => `{${stream}#${group}}:${name}`;
  return {
    sessions: own('sessions'),
    members: own('members'),
    names: own('names'),
    roster: own('roster'),
    away: own('away'),
    group: own('group'),
    target: own('target'),
    owners: own('owners'),
    bell: own('bell'),
  };
}

/** Namespace and name, as keys and messages show them. */
export function fullName(namespace: string | undefined, name: string): string {
  return namespace ? `${namespace}:${name}` : name;
}
