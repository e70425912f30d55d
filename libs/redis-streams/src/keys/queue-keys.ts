/**
 * Every key of the queue capability. A queue's messages are spread over shards; all that one script touches has its
 * shard's hash tag. The tags are made by `shardTags`, so that the shards lie on all masters of a Cluster.
 */
export interface QueueShardKeys {
  /** STREAM messages that wait or are being handled; gone when every group has settled them. */
  readonly messages: string;
  /** ZSET message that is to come -> server milliseconds at which it joins `messages`. */
  readonly delayed: string;
  /** ZSET id given by a sender -> server milliseconds until which another of that id is a duplicate. */
  readonly ids: string;
  /** HASH id given by a sender -> entry id of the message that had it first. */
  readonly origins: string;
  /** STREAM messages that were given up, with the reason; of all groups. */
  readonly dead: string;
  /** Pub/sub channel that says "look again". A hint only. */
  readonly bell: string;
  /** HASH a producer's last batches and their answers, for resends. Expires. */
  producer(producer: string): string;
  group(group: string): QueueGroupKeys;
}

export interface QueueGroupKeys {
  /** ZSET session id -> deadline in server milliseconds. */
  readonly sessions: string;
  /** HASH session id -> what it said of itself. */
  readonly members: string;
  /** HASH exclusive consumer name -> its current session id. */
  readonly names: string;
  readonly bell: string;
  /** ZSET entry id -> server milliseconds from which it may be delivered again: what failed, or was given back. */
  readonly retries: string;
  /** HASH entry id -> "failures crashes begun", for messages that were delivered more than once. */
  readonly attempts: string;
  /** HASH entry id -> which of several handlers of a pattern are done with it. Expires. */
  readonly handlers: string;
  /** HASH `paused` -> 1 while nobody of the group may take messages. */
  readonly control: string;
}

/** A queue's registration: HASH, by its full name. */
export function queueKey(queue: string): string {
  return `{queue:${queue}}:queue`;
}

/** Hash tag of a shard, from what `shardTags` says. */
export function queueShardKeys(tag: string): QueueShardKeys {
  const own = (name: string): string => `{${tag}}:${name}`;
  const bell = own('bell');
  return {
    messages: own('messages'),
    delayed: own('delayed'),
    ids: own('ids'),
    origins: own('origins'),
    dead: own('dead'),
    bell,
    producer: (producer) => own(`producer:${producer}`),
    group: (group) => ({
      sessions: own(`sessions:${group}`),
      members: own(`members:${group}`),
      names: own(`names:${group}`),
      retries: own(`retries:${group}`),
      attempts: own(`attempts:${group}`),
      handlers: own(`handlers:${group}`),
      control: own(`control:${group}`),
      bell,
    }),
  };
}
