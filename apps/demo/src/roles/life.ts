import type { INestApplicationContext } from '@nestjs/common';
import { say } from '../ui/lines.js';
import type { Order, Ready } from './ipc.js';

export interface Life {
  readonly who: string;
  /** What to say when the first Ctrl-C or SIGTERM comes. */
  readonly stopping?: () => string;
  /** What to say at the end. */
  readonly stopped?: () => string;
  /** Runs before Nest closes. */
  readonly beforeClose?: () => Promise<void>;
  readonly order?: (order: Order) => void;
}

/**
 * The life of a role's process after its start: SIGTERM or Ctrl-C closes the Nest application, which hands leases to
 * peers; a second one ends at once. A role whose supervisor is gone closes as well.
 */
export function live(app: INestApplicationContext, life: Life, ready: Ready): void {
  let closing = false;
  const close = async (): Promise<void> => {
    if (closing) process.exit(130);
    closing = true;
    say(life.who, 'stopping', '', life.stopping?.());
    await life.beforeClose?.();
    await app.close();
    say(life.who, 'stopped', '', life.stopped?.());
    if (process.connected) process.disconnect();
  };
  const stop = (): void => {
    close().catch((error: unknown) => {
      say(life.who, 'error', '', `while stopping: ${String(error)}`);
      process.exit(1);
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.stdout.on('error', () => undefined);
  if (process.send === undefined) return;
  process.on('disconnect', () => (closing ? undefined : stop()));
  process.on('message', (message: Order) => (message.type === 'stop' ? stop() : life.order?.(message)));
  process.send(ready);
}
