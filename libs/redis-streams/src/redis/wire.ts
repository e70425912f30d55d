import { Buffer } from 'node:buffer';

/** Arguments of a command as they stand on the wire, behind its others: many small ones cost a client library more than all else. */
export interface WireArguments {
  readonly count: number;
  /** Not a string: what a long one was put together from would live as long as it. */
  readonly bytes: Buffer;
  /** All that is written: `head`, then `bytes`. Default: both are copied. */
  behind?(head: string): Buffer;
}

/** One argument as the protocol has it. */
export function bulk(value: string): string {
  return `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
}
