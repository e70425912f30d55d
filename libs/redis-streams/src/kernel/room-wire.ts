/** A message as it travels in a room's channel; the data is still text. */
export interface WireMessage {
  readonly id: string;
  /** Rises with every message that is shown, also when one goes out again; orders what one room shows. */
  readonly turn: number;
  readonly priority: number;
  /** 0 at the first release. */
  readonly redelivery: number;
  /** Server milliseconds. */
  readonly sentAt: number;
  readonly payload: string;
}

/** What a room's channel says. */
export type RoomNotice =
  | { readonly kind: 'message'; readonly message: WireMessage }
  | { readonly kind: 'outOfBand'; readonly message: WireMessage }
  | { readonly kind: 'ejected'; readonly session: string; readonly id: string }
  /** An acknowledgement by the short way was not taken: it is to be said in full. */
  | { readonly kind: 'again'; readonly session: string; readonly turn: number }
  | { readonly kind: 'removed' };

/** "m turn priority " and the message as it waited: "id tries sender sentMs payload". */
const MESSAGE = /^m(\d+) (\S+) (\d+) (\d+) \S+ (\d+) /;
const OUT_OF_BAND = /^o(\S+) /;
const EJECTED = /^e(\S+) (\d+)$/;
const AGAIN = /^a(\S+) (\d+)$/;

/** Undefined: nobody who speaks this protocol has said that. */
export function parseNotice(text: string): RoomNotice | undefined {
  switch (text[0]) {
    case 'm': {
      const match = MESSAGE.exec(text);
      if (!match) return undefined;
      const [head, turn, priority, id, redelivery, sentAt] = match as unknown as [string, string, string, string, string, string];
      const message = { id, turn: Number(turn), priority: Number(priority), redelivery: Number(redelivery), sentAt: Number(sentAt), payload: text.slice(head.length) };
      return { kind: 'message', message };
    }
    case 'o': {
      const match = OUT_OF_BAND.exec(text);
      if (!match) return undefined;
      return { kind: 'outOfBand', message: { id: match[1]!, turn: 0, priority: 0, redelivery: 0, sentAt: 0, payload: text.slice(match[0].length) } };
    }
    case 'e': {
      const match = EJECTED.exec(text);
      return match ? { kind: 'ejected', session: match[1]!, id: match[2]! } : undefined;
    }
    case 'a': {
      const match = AGAIN.exec(text);
      return match ? { kind: 'again', session: match[1]!, turn: Number(match[2]) } : undefined;
    }
    case 'x':
      return text === 'x' ? { kind: 'removed' } : undefined;
    default:
      return undefined;
  }
}

export interface Outcome {
  readonly id: string;
  readonly acknowledged: number;
  readonly ejected: string[];
  /** Empty where it is known anyway. */
  readonly room: string;
}

/** "id acknowledged who,who", on a channel for all rooms with the room's name on the next line. */
export function parseOutcome(text: string): Outcome | undefined {
  const match = /^(\d+) (\d+) ([^\n]*)(?:\n(.*))?$/s.exec(text);
  if (!match) return undefined;
  return { id: match[1]!, acknowledged: Number(match[2]), ejected: match[3] === '' ? [] : match[3]!.split(','), room: match[4] ?? '' };
}

/** Data as JSON, and headers as JSON behind a tab: JSON never holds a raw one. */
export function encodePayload(data: string, headers: Readonly<Record<string, string>> | undefined): string {
  return headers && Object.keys(headers).length > 0 ? `${data}\t${JSON.stringify(headers)}` : data;
}

/** @throws SyntaxError when it is not JSON */
export function decodePayload(payload: string): { data: unknown; headers: Readonly<Record<string, string>> } {
  const tab = payload.indexOf('\t');
  if (tab < 0) return { data: JSON.parse(payload) as unknown, headers: NONE };
  return { data: JSON.parse(payload.slice(0, tab)) as unknown, headers: JSON.parse(payload.slice(tab + 1)) as Record<string, string> };
}

const NONE = Object.freeze({});
