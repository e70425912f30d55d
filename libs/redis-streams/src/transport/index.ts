export { RedisStreamsServer, REDIS_STREAMS_TRANSPORT, type RedisStreamsServerOptions } from './server.js';
export { RedisStreamsClient, type RedisStreamsClientOptions } from './client.js';
export { RedisStreamsContext, type Delivery } from './context.js';
export { RedisStreamsRecord, type RecordOptions } from './record.js';
export { DeadLetterException, DropException, RetryException } from './exceptions.js';
export { streamOptions } from './options.js';
export type { RedisStreamsStatus } from './status.js';
export type { PatternOptions, TransportOptions, PacketDeserializer, PacketSerializer } from '../options-transport.js';
export { NoHandlerError, PatternMismatchError, RequestCancelledError, RequestTimeoutError } from '../errors/index.js';
