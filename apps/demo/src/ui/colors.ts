/** Colours only for people: on a terminal, or when the process that shows our output says it is one. */
const enabled = process.env['FORCE_COLOR'] === '1' || (process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined);

const paint = (open: number, close: number) => (text: string): string => (enabled ? `\u001b[${open}m${text}\u001b[${close}m` : text);

export const colorsEnabled = enabled;
export const bold = paint(1, 22);
export const dim = paint(2, 22);
export const red = paint(31, 39);
export const green = paint(32, 39);
export const yellow = paint(33, 39);
const cyan = paint(36, 39);

const NAME_COLORS = [cyan, paint(35, 39), paint(34, 39), green, yellow, paint(96, 39)];

/** The same name always gets the same colour, in every process. */
export function nameColor(name: string): (text: string) => string {
  let sum = 0;
  for (const char of name) sum += char.codePointAt(0) ?? 0;
  return NAME_COLORS[sum % NAME_COLORS.length] ?? cyan;
}
