/**
 * Every key of the fanout capability. Rooms are spread over shards by their name; what one script touches, rooms
 * and sessions, has the shard's hash tag. A room's state key is its pub/sub channel too.
 */
export interface FanoutShardKeys {
  /** ZSET session id -> deadline in server milliseconds. */
  readonly sessions: string;
  /** HASH session id -> its ttl in milliseconds. */
  readonly members: string;
  /** HASH exclusive consumer name -> its current session id. */
  readonly names: string;
  /** Pub/sub channel that says "look again", and "room" when one was born. A hint only. */
  readonly bell: string;
  /** ZSET room -> server milliseconds until which its current message may stay unacknowledged, or a little earlier. */
  readonly current: string;
  /** ZSET room -> messages that wait in it, about; rooms with none are not in it. */
  readonly backlogs: string;
  /** ZSET room -> number at its birth: every room that has members or messages. */
  readonly rooms: string;
  /** STREAM messages whose subscribers were all ejected, again and again. */
  readonly dead: string;
  /** SET the rooms a session is a member of. */
  roomsOf(session: string): string;
  /** HASH a sender's last batch and its answers, for resends. Expires. */
  sender(sender: string): string;
  /** Beginning of the pub/sub channels on which senders hear that all have acknowledged. */
  readonly senders: string;
}

export interface RoomKeys {
  /**
   * HASH number, sync, async (members of each kind), and of the current message: turn, left, due, until, noted, plain, allowed, text,
   * sender, ejected, who. Besides, for each member, session id -> 'async', or the last turn of which nothing is to be expected from it. Also the room's channel.
   */
  readonly state: string;
  /** ZSET "id tries sender sentMs payload" -> priority. */
  readonly backlog: string;
  /** HASH message id -> "acknowledged ejected", for senders that wait. Expires. */
  readonly outcomes: string;
}

function tag(namespace: string | undefined, shard: number): string {
  return `{fanout:${namespace === undefined ? '' : `${namespace}:`}${shard}}`;
}

/** HASH what all processes must agree on: the number of shards, and who said so. */
export function fanoutKey(namespace: string | undefined): string {
  return `${tag(namespace, 0)}:fanout`;
}

export function fanoutShardKeys(namespace: string | undefined, shard: number): FanoutShardKeys {
  const own = (name: string): string => `${tag(namespace, shard)}:${name}`;
  return {
    sessions: own('sessions'),
    members: own('members'),
    names: own('names'),
    bell: own('bell'),
    current: own('current'),
    backlogs: own('backlogs'),
    rooms: own('rooms'),
    dead: own('dead'),
    roomsOf: (session) => own(`rooms:${session}`),
    sender: (sender) => own(`sender:${sender}`),
    senders: own('acked:'),
  };
}

export function roomKeys(namespace: string | undefined, shard: number, room: string): RoomKeys {
  const own = (name: string): string => `${tag(namespace, shard)}:${name}:${room}`;
  return { state: own('room'), backlog: own('backlog'), outcomes: own('outcomes') };
}
