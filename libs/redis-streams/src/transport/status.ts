import type { RedisStreamsEvents } from '../observability/events.js';

/** What `status` of server and client tells. */
export type RedisStreamsStatus = 'connected' | 'reconnecting' | 'disconnected';

/** Tells of one connection's changes. @returns a function that ends that */
export function statusOf(events: RedisStreamsEvents, connection: string, tell: (status: RedisStreamsStatus) => void): () => void {
  const ours = (event: { readonly connection: string; readonly role: string }): boolean => event.connection === connection && event.role === 'command';
  const ends = [
    events.on('connection.ready', (event) => ours(event) && tell('connected')),
    events.on('connection.error', (event) => ours(event) && tell('reconnecting')),
    events.on('connection.replaced', (event) => ours(event) && tell('reconnecting')),
  ];
  return () => ends.forEach((end) => end());
}
