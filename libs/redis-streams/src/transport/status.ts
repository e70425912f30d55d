import type { RedisStreamsEngine } from '../engine.js';

/** What `status` of server and client tells. */
export type RedisStreamsStatus = 'connected' | 'reconnecting' | 'disconnected';

/** Tells of one connection's changes. @returns a function that ends that */
export function statusOf(engine: RedisStreamsEngine, connection: string, tell: (status: RedisStreamsStatus) => void): () => void {
  const { events } = engine;
  const ours = (event: { readonly connection: string; readonly role: string }): boolean => event.connection === connection && event.role === 'command';
  const ends = [
    // A connection that is merely closed is no error.
    engine.partsOf(connection).redis.onLost(() => tell('reconnecting')),
    events.on('connection.ready', (event) => ours(event) && tell('connected')),
    events.on('connection.error', (event) => ours(event) && tell('reconnecting')),
    events.on('connection.replaced', (event) => ours(event) && tell('reconnecting')),
  ];
  return () => ends.forEach((end) => end());
}
