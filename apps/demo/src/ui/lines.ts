import { bold, dim, green, nameColor, red, yellow } from './colors.js';

const VERBS: Readonly<Record<string, (text: string) => string>> = {
  completed: green, claimed: yellow, disowned: red, refused: red, 'handed on': yellow, revoked: yellow, ejected: red, expelled: yellow, 'went on': yellow, lost: red, error: red, warning: yellow, fault: (text) => bold(red(text)),
};

/** `12:03:01.123  c1        completed   order-stream-7     in 1.02 s` */
export function say(who: string, verb: string, subject = '', detail = ''): void {
  line(who, verb, subject, dim(detail));
}

/** The same with a detail that brings its own colours. */
export function line(who: string, verb: string, subject: string, detail: string): void {
  const time = dim(new Date().toTimeString().slice(0, 8) + `.${String(Date.now() % 1_000).padStart(3, '0')}`);
  const shade = VERBS[verb] ?? ((text: string) => text);
  const parts = [time, nameColor(who)(who.padEnd(8)), shade(verb.padEnd(10)), subject === '' ? '' : subject.padEnd(17), detail];
  process.stdout.write(`${parts.filter((part) => part !== '').join('  ').trimEnd()}\n`);
}

export function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}

/** `1 stream`, `2 streams` */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
