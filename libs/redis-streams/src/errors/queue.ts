import { RedisStreamsError } from './base.js';

/** Nobody has registered a queue of that name. */
export class QueueNotRegisteredError extends RedisStreamsError {
  constructor(readonly queue: string, who: string) {
    super(
      'QUEUE_NOT_REGISTERED',
      `${who}: nobody has registered the queue "${queue}"; register it in one of the applications (RedisStreamsModule.registerQueue({ name, shards })), or check the name and the namespace`,
      false,
    );
  }
}

/** The queue is registered, and differently. The first registration stands. */
export class QueueMismatchError extends RedisStreamsError {
  constructor(
    readonly queue: string,
    /** What differs: `shards: 4 here, 8 as registered`. */
    readonly differences: readonly string[],
    readonly registeredBy: string,
  ) {
    super(
      'QUEUE_MISMATCH',
      `the queue "${queue}" was registered by ${registeredBy} and differs: ${differences.join('; ')}. The first registration stands: make this one equal, or choose another name`,
      false,
    );
  }
}

/**
 * Messages were stored, and not confirmed by as many replicas as the producer's `waitReplicas` says before the send timed out.
 * They are delivered all the same, and are lost if the primary dies before a replica has them.
 */
export class ReplicationError extends RedisStreamsError {
  constructor(
    what: string,
    readonly waitReplicas: number,
    readonly confirmed: number,
  ) {
    super(
      'NOT_REPLICATED',
      `${what}: stored, but only ${confirmed} of ${waitReplicas} replicas confirmed it in time; see whether the replicas are up and keep up (INFO replication), or lower waitReplicas. To send it again stores it again, unless it has an id`,
      true,
    );
  }
}

/** Why a message of a queue is not this process's any more. */
export type MessageLossReason = 'session-lost' | 'shutdown';

const MESSAGE_LOSS_TEXT: Record<MessageLossReason, string> = {
  'session-lost': 'this process was silent past its deadline, and others take its messages over',
  shutdown: 'the application is stopping and the handler did not end in time',
};

/** The `signal.reason` of a handler of a queue whose message goes to somebody else. */
export class MessageLostError extends RedisStreamsError {
  constructor(
    readonly queue: string,
    readonly reason: MessageLossReason,
  ) {
    super('MESSAGE_LOST', `a message of the queue "${queue}" is lost to this process: ${MESSAGE_LOSS_TEXT[reason]}`, false);
  }
}
