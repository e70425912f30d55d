import { setTimeout as sleep } from 'node:timers/promises';
import type { PartitionBatchContext, PartitionContext, PartitionHandlers, PartitionsEvent } from 'nestjs-redis-streams/partition';
import type { EffectWriter } from './effect-ledger.js';
import type { Mode, Poison, Task } from './messages.js';

/**
 * The handler of a chaos worker: writes down that it began, works, and has its effect under the token. It is as
 * stubborn as can be: it looks at no signal, and returns as if all were well whatever the ledger says of its
 * effect. So an owner that is one no more does everything it should not, and only the library can refuse it.
 */
export class PartitionWork {
  constructor(
    private readonly mode: Mode,
    private readonly ledger: EffectWriter,
    private readonly trouble: (message: string) => void,
  ) {}

  handlers(): PartitionHandlers {
    const assigned = ({ partitions }: PartitionsEvent): void => {
      for (const { partition, fencingToken: token } of partitions) this.ledger.note({ kind: 'active', partition, token });
    };
    if (this.mode === 'batch') return { assigned, batch: (_data, context) => this.batch(context) };
    return { assigned, message: (_data, context) => this.message(context) };
  }

  private async message(context: PartitionContext): Promise<void> {
    const task = await this.run(context, context);
    if (this.mode !== 'manual') return;
    await context.ack();
    this.ledger.note({ kind: 'ack', partition: context.partition, token: context.fencingToken, key: task.key, seq: task.seq });
  }

  private async batch(context: PartitionBatchContext): Promise<void> {
    for (const message of context.messages) await this.run(message, context);
  }

  private async run(message: { id: string; key: string | undefined; data: unknown }, { partition, fencingToken: token }: { partition: number; fencingToken: number }): Promise<Task> {
    const task = message.data as Task;
    const { key, seq, workMs, poison } = task;
    if (message.key !== key) this.trouble(`message ${message.id} of partition ${partition} came with the key ${message.key} instead of ${key}`);
    this.ledger.note({ kind: 'attempt', partition, token, key, seq, detail: message.id });
    if (workMs > 0) await sleep(workMs);
    if (poison) await die(poison);
    await this.ledger.effect({ partition, token, key, seq });
    return task;
  }
}

async function die(poison: Poison): Promise<never> {
  // One turn, so that what was written down reaches the socket.
  await new Promise((resolve) => setImmediate(resolve));
  switch (poison) {
    case 'SIGKILL':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'exit':
      process.exit(3);
      break;
    case 'uncaught':
      setImmediate(() => {
        throw new Error('poison');
      });
  }
  return new Promise(() => undefined);
}
