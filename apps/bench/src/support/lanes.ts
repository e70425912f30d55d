/** Runs `one(0)` .. `one(count - 1)`, at most `width` at a time. */
export async function lanes(count: number, width: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}
