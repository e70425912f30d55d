// What all capabilities have in common, from where the engine under test comes.
export { RedisStreamsEngine, RedisStreamsEvents } from 'nestjs-redis-streams/lease';
export type { ConnectionOptions, RedisStreamsEvent, RedisStreamsEventName, RedisStreamsOptions } from 'nestjs-redis-streams/lease';
