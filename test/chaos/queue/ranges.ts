/** Ascending or not: `[1, 2, 3, 7]` as `1-3,7`. */
export function rangesOf(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    const from = numbers[i]!;
    let to = from;
    for (i++; i < numbers.length && numbers[i] === to + 1; i++) to++;
    parts.push(from === to ? String(from) : `${from}-${to}`);
  }
  return parts.join(',');
}

export function eachOf(ranges: string, visit: (number: number) => void): void {
  for (const part of ranges.split(',')) {
    const [from = NaN, to = from] = part.split('-').map(Number);
    for (let number = from; number <= to; number++) visit(number);
  }
}
