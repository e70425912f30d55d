import type { RedisStreamsEngine } from './engine.js';

/**
 * The life of an engine in a process of its own that a test drives over IPC: all events are told, `stop` ends it, and
 * then the process ends by itself: no process.exit. `stopped` is called before its end is told; other messages go to `other`.
 */
export function driven(engine: RedisStreamsEngine, { other, stopped }: { other?: (message: unknown) => void; stopped?: () => void } = {}): void {
  // A stop during the start ends both.
  const leave = (): void => { if (process.connected) process.disconnect(); };
  const tell = (message: object): void => void (process.connected && process.send?.(message));
  engine.events.onAny(({ type, ...event }) => tell({ ...event, type, error: undefined, errorText: 'error' in event ? String(event.error) : undefined }));
  process.on('message', (message) => {
    if (message !== 'stop') return other?.(message);
    void engine.stop().then(() => {
      stopped?.();
      tell({ type: 'stopped' });
      leave();
    });
  });
  engine.start().then(() => tell({ type: 'started' }), (error: { code?: string; message: string }) => {
    tell({ type: 'failed', code: error.code, message: error.message });
    leave();
  });
}
