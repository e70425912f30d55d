import { connect, type Socket } from 'node:net';

export type Reply = string | number | null | Reply[];

/** An error reply of the server; `code` is its first word (MOVED, NOSCRIPT, ...). */
export class ReplyError extends Error {
  override name = 'ReplyError';
  get code(): string {
    return this.message.split(' ', 1)[0] ?? '';
  }
}

/**
 * Sends commands over one connection of their own and returns their replies. Tests look at the server with
 * this and not with ioredis, so that a client's reconnecting and redirecting can hide nothing.
 */
export function redisCommands(port: number, commands: readonly (readonly (string | number)[])[], timeoutMs = 5_000): Promise<Reply[]> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const replies: Reply[] = [];
    let buffer = Buffer.alloc(0);
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      if (error) reject(error);
      else resolve(replies);
    };
    const timer = setTimeout(() => finish(new Error(`No answer from 127.0.0.1:${port} within ${timeoutMs} ms`)), timeoutMs);
    socket.on('error', finish);
    socket.on('close', () => finish(new Error(`127.0.0.1:${port} closed the connection`)));
    socket.on('connect', () => socket.write(commands.map(encode).join('')));
    socket.on('data', (chunk: Buffer) => {
      buffer = Buffer.concat([buffer, chunk]);
      for (let parsed = parse(buffer, 0); parsed; parsed = parse(buffer, 0)) {
        buffer = buffer.subarray(parsed.next);
        if (parsed.value instanceof ReplyError) return finish(parsed.value);
        replies.push(parsed.value);
        if (replies.length === commands.length) return finish();
      }
    });
  });
}

export async function redisCommand(port: number, ...args: (string | number)[]): Promise<Reply> {
  return (await redisCommands(port, [args]))[0] as Reply;
}

function encode(args: readonly (string | number)[]): string {
  const parts = args.map(String).map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
  return `*${args.length}\r\n${parts.join('')}`;
}

type Parsed = { value: Reply | ReplyError; next: number };

/** RESP2. Undefined while the reply is still incomplete. */
function parse(buffer: Buffer, at: number): Parsed | undefined {
  const lineEnd = buffer.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const type = String.fromCharCode(buffer[at] as number);
  const line = buffer.toString('utf8', at + 1, lineEnd);
  let next = lineEnd + 2;
  switch (type) {
    case '+': return { value: line, next };
    case '-': return { value: new ReplyError(line), next };
    case ':': return { value: Number(line), next };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, next };
      if (buffer.length < next + length + 2) return undefined;
      return { value: buffer.toString('utf8', next, next + length), next: next + length + 2 };
    }
    case '*': {
      const count = Number(line);
      if (count < 0) return { value: null, next };
      const items: Reply[] = [];
      for (let i = 0; i < count; i++) {
        const item = parse(buffer, next);
        if (!item) return undefined;
        items.push(item.value instanceof ReplyError ? item.value.message : item.value);
        next = item.next;
      }
      return { value: items, next };
    }
    default: throw new Error(`Not a RESP2 reply: ${JSON.stringify(buffer.toString('latin1', at, lineEnd))}`);
  }
}
