import { expect, it } from 'vitest';
import { type Delivery, RedisStreamsContext } from '../../../libs/redis-streams/src/transport/context.js';

it('has one signal, however often it is looked at: a listener can be taken back', () => {
  for (const which of ['delivery', 'caller'] as const) {
    const controllers = { delivery: new AbortController(), caller: new AbortController() };
    const context = new RedisStreamsContext({ signal: controllers.delivery.signal } as Delivery, 'pattern');
    expect(context.signal).toBe(controllers.delivery.signal);
    context.cancelledBy(() => controllers.caller.signal);
    const { signal } = context;
    expect(context.signal).toBe(signal);
    let heard = 0;
    const hear = (): unknown => heard++;
    context.signal.addEventListener('abort', hear);
    context.signal.removeEventListener('abort', hear);
    controllers[which].abort(new Error(which));
    expect([context.signal.aborted, (context.signal.reason as Error).message, heard]).toEqual([true, which, 0]);
  }
});
