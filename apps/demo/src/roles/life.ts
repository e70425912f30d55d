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
 * @returns a promise that resolves when the application has closed.
 */
export async function live(app: INestApplicationContext, life: Life, ready: Ready): Promise<void> {
  const { who } = life;
  await askedToStop(life, ready);
  say(who, 'stopping', '', life.stopping?.());
  await life.beforeClose?.();
  await app.close();
  say(who, 'stopped', '', life.stopped?.());
  if (process.connected) process.disconnect();
}

function askedToStop(life: Life, ready: Ready): Promise<void> {
  process.stdout.on('error', () => undefined);
  return new Promise((resolve) => {
    let asked = false;
    const stop = (): void => {
      if (asked) process.exit(130);
      asked = true;
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    if (process.send === undefined) return;
    process.on('disconnect', () => (asked ? undefined : stop()));
    process.on('message', (message: Order) => (message.type === 'stop' ? stop() : life.order?.(message)));
    process.send(ready);
  });
}
