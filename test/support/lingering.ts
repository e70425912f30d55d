import { createHook } from 'node:async_hooks';
import { Socket } from 'node:net';

/**
 * Call when everything is stopped. A process that is still there after `afterMs` prints what its event loop waits for:
 * the kinds of resources, each socket by its ends and state, and who set the timers that were set since.
 */
export function tellWhatLingers(afterMs: number): void {
  const timers = new Map<number, string>();
  setTimeout(tell, afterMs).unref(); // it does not keep the process: where nothing else does, it ends before
  function tell(): void {
    hook.disable();
    const lines = [`resources: ${process.getActiveResourcesInfo().join(' ')}`, ...activeHandles().map(describe), ...[...timers.values()].map((place) => `timer of ${place}`)];
    process.stderr.write(`still here ${afterMs} ms after everything was stopped, for\n${lines.map((line) => `  ${line}\n`).join('')}`);
  }
  const hook = createHook({
    init: (id, type) => {
      if (type === 'Timeout') timers.set(id, placeOf(new Error().stack));
    },
    destroy: (id) => void timers.delete(id),
  }).enable();
}

function activeHandles(): readonly unknown[] {
  return (process as unknown as { _getActiveHandles?(): unknown[] })._getActiveHandles?.().filter((handle) => handle !== process.stdout && handle !== process.stderr) ?? [];
}

function describe(handle: unknown): string {
  if (!(handle instanceof Socket)) return (handle as object).constructor.name;
  const { localAddress, localPort, remoteAddress, remotePort, readyState, connecting, destroyed, readableEnded, writableEnded, bytesRead, bytesWritten } = handle;
  const flags = Object.entries({ connecting, destroyed, readableEnded, writableEnded, listened: handle.listenerCount('data') > 0 }).flatMap(([name, on]) => (on ? [name] : []));
  return `socket ${localAddress}:${localPort} -> ${remoteAddress}:${remotePort} ${readyState} ${flags.join(' ')} read ${bytesRead} written ${bytesWritten}`;
}

/** The first frames that are nobody's machinery. */
function placeOf(stack: string | undefined): string {
  const frames = (stack ?? '').split('\n').slice(1).filter((frame) => !/node:|lingering\./.test(frame));
  return frames.slice(0, 3).map((frame) => frame.trim().replace(/^at /, '')).join(' < ') || 'Node itself';
}
