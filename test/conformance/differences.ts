/**
 * What our transport does otherwise than Nest's own, and they otherwise than each other. `streams` is ours; `nest` stands for both
 * of Nest's where they agree. Each sentence has a test that sees it hold, and everything else in this suite holds for all three.
 */
export const differences = {
  'request nobody handles': {
    says: {
      streams: 'it fails with a NoHandlerError when nobody has handled its pattern for transport.handlerWaitMs',
      redis: 'it is never answered',
      tcp: 'it fails at once with "There is no matching message handler defined in the remote service."',
    },
  },
  'request to an event handler': {
    says: {
      streams: 'it fails with a NoHandlerError: requests and events are apart',
      nest: 'it runs the event handler and is answered with what that returns',
    },
  },
  'event to a request handler': {
    says: {
      streams: 'the request handler is not run: the event waits for an event handler, and becomes a dead letter when there is none',
      nest: 'it runs the request handler, and what that returns goes nowhere',
    },
  },
  'one pattern for requests and events': {
    says: {
      streams: 'requests go to the @MessagePattern handler, events to the @EventPattern handler',
      nest: 'both go to the first handler in the class',
    },
  },
  'unsubscribing from a request': {
    says: {
      streams: 'reaches the server: the signal of its context aborts, and its Observable is unsubscribed',
      nest: 'is not noticed by the server, whose Observable goes on',
    },
  },
  'client closes during a request': {
    says: {
      streams: 'the request fails with a ClosedError, and the server ends it',
      nest: 'the request fails with "Connection closed", and the server goes on',
    },
  },
  'request without any reply': {
    says: {
      streams: 'it fails with a RequestTimeoutError after transport.requestTimeoutMs',
      nest: 'it waits for ever; a timeout is the sender\'s to add',
    },
  },
  'data beyond 1 MiB': {
    says: {
      streams: 'is refused where it is sent, beyond transport.maxBytes; a reply so large is an error at whoever asked',
      nest: 'is carried',
    },
  },
  'data nested deeper than 64': {
    says: {
      streams: 'is refused where it is sent, beyond transport.maxDepth',
      nest: 'is carried',
    },
  },
  'context of a handler': {
    says: {
      streams: 'is a RedisStreamsContext: pattern, stream, group, id, attempt, headers, signal, ack and the like',
      redis: 'is a RedisContext: the channel',
      tcp: 'is a TcpContext: the socket and the pattern',
    },
  },
  'pattern that is a regular expression': {
    says: {
      streams: 'is refused when the application starts',
      nest: 'is accepted, and matches nothing',
    },
  },
  'several instances, requests': {
    says: {
      streams: 'each request is run by one of them',
      redis: 'every one of them runs each request; the first to answer is heard',
      tcp: 'there is one instance at an address',
    },
  },
  'event that nobody handles yet': {
    says: {
      streams: 'is kept, and handled when a service that handles its pattern starts soon; otherwise it becomes a dead letter',
      nest: 'is lost, with a line in the log at most',
    },
  },
  'event with no server up': {
    says: {
      streams: 'is kept, and handled when an instance starts',
      redis: 'is lost, and its sender is told that it was sent',
      tcp: 'is lost, and its sender is told ECONNREFUSED if it has no connection yet',
    },
  },
  'event handler that fails': {
    says: {
      streams: 'is run again after a backoff, until it succeeds or retry.maxAttempts is reached',
      nest: 'is not run again',
    },
  },
  'one of several handlers of an event fails': {
    says: {
      streams: 'only that one is run again',
      nest: 'neither is run again',
    },
  },
  'several instances, events': {
    says: {
      streams: 'each event is handled by one instance of a service; by every one with streamOptions({ broadcast: true })',
      redis: 'every instance handles every event',
      tcp: 'there is one instance at an address',
    },
  },
  'several services, events': {
    says: {
      streams: 'each service handles every event',
      redis: 'each service handles every event',
      tcp: 'one service listens at an address; others need clients and emits of their own',
    },
  },
  'order of one key': {
    says: {
      streams: 'with streamOptions({ partitions }) one event of a key is handled after the other, over all instances',
      nest: 'handlers overlap: an event is begun before the one before it is done',
    },
  },
  'event handler that never ends': {
    says: {
      streams: 'loses its event after maxProcessingMs, which is delivered again',
      nest: 'keeps its event for ever',
    },
  },
  'channels with wildcards': {
    says: {
      streams: 'are none: a pattern is a name',
      redis: 'are there, as the option `wildcards`',
      tcp: 'are none: a pattern is a name',
    },
  },
  'emit that is subscribed to after it was sent': {
    says: {
      streams: 'emits and completes, or fails, as if it had been subscribed to before',
      nest: 'completes without a value, which lastValueFrom takes for an error',
    },
  },
  'client closes right after emits': {
    says: {
      streams: 'they are sent, and their senders told so',
      nest: 'they fail, and are lost',
    },
  },
  'connections break while events are emitted': {
    says: {
      streams: 'nothing is lost or refused: they are sent when the connection is back',
      nest: 'events are refused, or lost though they were said to be sent',
    },
  },
  'status after close': {
    says: {
      streams: 'is "disconnected", of servers and clients',
      redis: 'stays "connected"',
      tcp: 'is "disconnected", of servers and clients',
    },
  },
  'status while a connection is made again': {
    says: {
      streams: 'is "reconnecting"',
      redis: 'is "reconnecting"',
      tcp: 'is "disconnected", until a client needs its connection',
    },
  },
  'client that connects while no server is up': {
    says: {
      streams: 'is connected: to Redis',
      redis: 'is connected: to Redis',
      tcp: 'fails with ECONNREFUSED',
    },
  },
  'server closes while it handles something': {
    says: {
      streams: 'it waits for handlers and sends their replies, for up to shutdown.drainMs',
      redis: 'it does not wait: the reply never comes',
      tcp: 'it does not wait: whoever asked is told "Connection closed"',
    },
  },
  'server that is closed twice': {
    says: {
      streams: 'nothing more happens',
      redis: 'the second close fails with "Connection is closed."',
      tcp: 'nothing more happens',
    },
  },
  'event with nowhere to connect to': {
    says: {
      streams: 'waits for Redis, for up to producer.sendTimeoutMs',
      nest: 'fails at once',
    },
  },
  'instance that dies, events': {
    says: {
      streams: 'what it was handling is handled by another instance',
      nest: 'what it was handling is lost',
    },
  },
  'instance that dies, requests': {
    says: {
      streams: 'another instance answers what it was asked',
      redis: 'what it was asked is never answered',
      tcp: 'who asked it is told "Connection closed"',
    },
  },
} as const;
export type DifferenceId = keyof typeof differences;
