import type * as Transport from '../../../libs/redis-streams/dist/transport/index.js';
import { load } from '../library.js';

const library = (await load('transport/index.js')) as typeof Transport;
export const { RedisStreamsClient, RedisStreamsServer } = library;
export type RedisStreamsClient = Transport.RedisStreamsClient;
export type RedisStreamsContext = Transport.RedisStreamsContext;
