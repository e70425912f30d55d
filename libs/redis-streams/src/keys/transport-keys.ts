import { Buffer } from 'node:buffer';

/** Every key and name of the transport. Its queues and streams are those of the other capabilities, under these names. */
export const TRANSPORT_NAMESPACE = 'transport';
/** Queue of events whose pattern nobody handles as far as their sender knew. */
export const UNROUTED = 'unrouted';
/** Group of `unrouted`: all servers together. */
export const ROUTERS = 'routers';
/** Group of every request queue, whatever the service: a request is for one instance of anybody. */
export const RESPONDERS = 'responders';

const MAX_LENGTH = 190;

/**
 * A pattern as part of a name: what a name cannot hold stands as `_` and two hex digits a byte, so that different patterns have
 * different names. @returns undefined: it is too long for a name
 */
export function nameOfRoute(route: string): string | undefined {
  const name = route.replace(/[^A-Za-z0-9.-]/gu, (character) => [...Buffer.from(character)].map((byte) => `_${byte.toString(16).padStart(2, '0')}`).join(''));
  return name.length > 0 && name.length <= MAX_LENGTH ? name : undefined;
}

export function eventName(name: string): string {
  return `event.${name}`;
}

export function requestName(name: string): string {
  return `request.${name}`;
}

/** STREAM of the replies to one client instance. Expires when the client does not renew it. */
export function repliesKey(namespace: string, client: string): string {
  return `{transport:${namespace}:${client}}:replies`;
}

/** Whether a key can be one of replies: what somebody has written into a header must not let servers write elsewhere. */
export function isRepliesKey(key: string): boolean {
  return /^\{transport:[^{}]+\}:replies$/.test(key);
}

/** Pub/sub channel that tells servers of requests that nobody waits for any more. A hint only. */
export function cancelChannel(namespace: string): string {
  return `{transport:${namespace}}:cancel`;
}

/** Group of one instance of a service, for what is broadcast. */
export function broadcastGroup(service: string, instance: string): string {
  return `${broadcastPrefix(service)}${instance}`;
}

export function broadcastPrefix(service: string): string {
  return `${service}.each.`;
}
