export type Headers = Readonly<Record<string, string>>;

export const NO_HEADERS: Headers = Object.freeze(Object.create(null) as Record<string, string>);

/** Headers are strings by name and nothing else; what is not is left out. No prototype, so that no name means more than itself. */
export function readHeaders(text: string): Headers {
  const headers = Object.create(null) as Record<string, string>;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      for (const name in parsed) {
        const value = (parsed as Record<string, unknown>)[name];
        if (typeof value === 'string') headers[name] = value;
      }
    }
  } catch {
    // Foreign text in our field: the message itself may be sound.
  }
  return headers;
}
