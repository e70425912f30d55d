const MAX_LENGTH = 2_000;

/** What an error says, for Redis: its message may be anything, and a list in its place would move the arguments behind it. */
export function errorText(error: Error | undefined): string {
  try {
    return plainText(error?.message);
  } catch {
    return 'an error without a text';
  }
}

/** The same of what else a handler gives for a text. */
export function plainText(given: unknown): string {
  try {
    return String(given ?? '').slice(0, MAX_LENGTH);
  } catch {
    return 'something without a text';
  }
}
