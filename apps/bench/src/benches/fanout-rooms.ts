import type { Worker } from '../support/worker.js';

/** The worker joins rooms `from` .. `to - 1`, each subscriber with an id of its own. @returns ms until it was in all */
export async function joinRooms(worker: Worker, from: number, to: number): Promise<number> {
  const reply = worker.next('joined');
  worker.send({ type: 'join', from, to });
  const { ms, unique } = await reply;
  if (unique !== to) throw new Error(`${String(unique)} different subscriber ids in ${to} rooms`);
  return Number(ms);
}
