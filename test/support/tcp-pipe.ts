import type { Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

export interface PipeHooks {
  /** How much of `chunk` may still pass; called in order, once per chunk, when its turn has come. */
  admit(chunk: Buffer): number;
  /** Called once the admitted part was handed to the kernel. `complete`: nothing was held back. */
  passed(chunk: Buffer, complete: boolean): void;
  /** Whether the end of this direction is passed on too. */
  mayEnd(): boolean;
  latencyMs(): number;
  sliceBytes(): number;
  onSlice(): void;
  onDelay(): void;
}

const HIGH_WATER_BYTES = 1 << 20;

/**
 * One direction. Chunks get a due time when they arrive, so that latency is added to each and not summed over
 * a pipeline; a single loop passes them on, so that order is kept whatever the latency.
 */
export function pipe(from: Socket, to: Socket, hooks: PipeHooks): void {
  const queue: { chunk: Buffer; dueAt: number }[] = [];
  let queuedBytes = 0;
  let busy = false;
  let ended = false;

  const drain = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    for (let item = queue[0]; item; item = queue[0]) {
      const waitMs = item.dueAt - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { ref: false });
      // Asked even when the far side is gone: a black hole counts what it swallows.
      const size = hooks.admit(item.chunk);
      queue.shift();
      queuedBytes -= item.chunk.length;
      if (!to.destroyed) {
        const part = item.chunk.subarray(0, size);
        if (part.length > 0) await write(part);
        hooks.passed(part, size === item.chunk.length);
      }
      if (queuedBytes < HIGH_WATER_BYTES) from.resume();
    }
    busy = false;
    if (ended && !to.destroyed && hooks.mayEnd()) to.end();
  };

  const write = async (part: Buffer): Promise<void> => {
    const step = hooks.sliceBytes() > 0 ? hooks.sliceBytes() : part.length;
    for (let at = 0; at < part.length && !to.destroyed; at += step) {
      await new Promise<void>((resolve) => { to.write(part.subarray(at, at + step), () => resolve()); });
      if (step === part.length) continue;
      hooks.onSlice();
      // The peer shares this machine: give it a turn, or its kernel would glue the pieces together.
      await nextTurn();
    }
  };

  from.on('data', (chunk: Buffer) => {
    const latencyMs = hooks.latencyMs();
    if (latencyMs > 0) hooks.onDelay();
    queue.push({ chunk, dueAt: performance.now() + latencyMs });
    queuedBytes += chunk.length;
    if (queuedBytes > HIGH_WATER_BYTES) from.pause();
    void drain();
  });
  from.on('end', () => {
    ended = true;
    void drain();
  });
}
