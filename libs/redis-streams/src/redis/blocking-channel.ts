import type { Redis } from 'ioredis';
import { ClosedError, ConnectionError } from '../errors/index.js';
import { send, type Argument } from './compat.js';
import { withDeadline } from './deadline.js';

/** Beyond BLOCK, before the answer counts as missing. */
const GRACE_MS = 1_000;

/**
 * A disposable connection for one blocking read at a time. It never reconnects and never resends: whatever
 * goes wrong ends it, and the reader opens another. So a blocked read is never answered behind its caller's
 * back on this side; that it may have been answered on the *server's* side is the reader's to check.
 */
export class BlockingChannel {
  private client: Redis | undefined;
  private closed = false;

  constructor(
    private readonly open: () => Redis,
    private readonly onClose: () => void,
  ) {}

  /** Runs one command that blocks at most `blockMs`; `buffers`: bulk strings as Buffers. @throws ConnectionError, or the server's own error. */
  async call(command: string, args: readonly Argument[], blockMs: number, buffers = true): Promise<unknown> {
    if (this.closed) throw new ClosedError('the blocking connection');
    const client = (this.client ??= this.connect());
    let broken: (error: Error) => void = () => undefined;
    const break_ = new Promise<never>((_, reject) => (broken = reject));
    const onEnd = (): void => broken(new ConnectionError('the connection ended during a blocking read'));
    client.once('end', onEnd);
    try {
      if (client.status === 'end') onEnd();
      return await withDeadline(
        Promise.race([send(client, buffers, command, args), break_]),
        blockMs + GRACE_MS,
        () => new ConnectionError(`a read that blocks for ${blockMs} ms was not answered within ${blockMs + GRACE_MS} ms`),
      );
    } catch (error) {
      if (this.client === client) {
        this.client = undefined;
        client.disconnect();
      }
      throw this.closed ? new ClosedError('the blocking connection') : error;
    } finally {
      client.off('end', onEnd);
    }
  }

  /** Ends a read in progress. */
  close(): void {
    this.closed = true;
    this.client?.disconnect();
    this.client = undefined;
    this.onClose();
  }

  private connect(): Redis {
    const client = this.open();
    client.on('error', () => undefined); // told to the caller by `end`
    return client;
  }
}
