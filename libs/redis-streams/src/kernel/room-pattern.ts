/** Which rooms are meant: one by its name, those a pattern fits (`*`: any characters, also none), those a RegExp fits. */
export interface RoomMatcher {
  /** The one room, or undefined for a pattern. */
  readonly room: string | undefined;
  /** As it was given, for messages. */
  readonly text: string;
  matches(room: string): boolean;
}

export function roomMatcher(target: string | RegExp): RoomMatcher {
  if (typeof target !== 'string') {
    // Without its state: a global or sticky one would fit every other time.
    const pattern = new RegExp(target.source, target.flags.replace(/[gy]/g, ''));
    return { room: undefined, text: String(target), matches: (room) => pattern.test(room) };
  }
  if (!target.includes('*')) return { room: target, text: target, matches: (room) => room === target };
  const pieces = target.split('*');
  return { room: undefined, text: target, matches: (room) => fits(room, pieces) };
}

/** Pieces in their order, the first at the beginning and the last at the end; no backtracking, so no pattern is slow. */
function fits(room: string, pieces: readonly string[]): boolean {
  const first = pieces[0]!;
  const last = pieces[pieces.length - 1]!;
  if (room.length < first.length + last.length || !room.startsWith(first) || !room.endsWith(last)) return false;
  const end = room.length - last.length;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = room.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return at <= end;
}
