/** Whether arrays, objects, maps and sets lie in each other deeper than `most`; the outermost counts as one. */
export function deeperThan(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (most === 0) return true;
  if (ArrayBuffer.isView(value)) return false; // bytes: to look at each takes half a second a megabyte
  if (Array.isArray(value)) return value.some((item) => deeperThan(item, most - 1));
  if (value instanceof Map) return [...value].some(([key, item]) => deeperThan(key, most - 1) || deeperThan(item, most - 1));
  if (value instanceof Set) return [...value].some((item) => deeperThan(item, most - 1));
  for (const key in value) if (deeperThan((value as Record<string, unknown>)[key], most - 1)) return true;
  return false;
}
