/**
 * As the method. Inside V8 strings are of many kinds, and where they come of more than four a method of theirs is looked up
 * again for each character, which costs several times as much as the character.
 */
const charCodeAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (text: string, at: number) => number;

const ASCII = 0x7f;
/** From this length on the runtime writes a text faster. */
export const SHORT = 32;

/** Writes `text` a byte a character: for those below `SHORT`. Answers false when it is not ASCII; what is written then means nothing. */
export function writeAscii(text: string, into: Uint8Array, at: number): boolean {
  const { length } = text;
  for (let i = 0; i < length; i++) {
    const code = charCodeAt(text, i);
    if (code > ASCII) return false;
    into[at + i] = code;
  }
  return true;
}

/** The same text for itself: V8 keeps the whole of what a piece was cut from for as long as the piece. */
export function detached(text: string): string {
  return ` ${text}`.slice(1);
}

/** Control characters: Unicode's Cc. */
export function hasControls(text: string): boolean {
  const { length } = text;
  for (let i = 0; i < length; i++) {
    const code = charCodeAt(text, i);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}
