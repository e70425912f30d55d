import type { INestApplicationContext } from '@nestjs/common';
import { DeadLetterService, QueueService } from 'nestjs-redis-streams';
import { waitUntil } from '../../../support/wait.js';

/** Everything sent has been settled by the group. */
export async function settled(app: INestApplicationContext, queue: string, group?: string): Promise<void> {
  const service = app.get(QueueService);
  const left = async (): Promise<number> => {
    const { waiting, pending, delayed } = await service.stats(queue, group);
    return waiting + pending + delayed;
  };
  await waitUntil(async () => (await left()) === 0, { what: `${group ?? 'default'} has settled all of ${queue}` });
}

/** Of each letter what the sender called it, and why, with what error and after how many attempts it was given up. */
export async function deadLetters(app: INestApplicationContext, queue: string): Promise<unknown[][]> {
  const { letters } = await app.get(DeadLetterService).list({ kind: 'queue', queue });
  return letters.map((letter) => [letter.details.sentId, letter.reason, letter.error, letter.attempts]).toSorted();
}
