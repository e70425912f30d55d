import { metric, type Bench, type Contender } from '../model.js';
import { AMI_SHARDS } from './ami-roles.js';

const ENGINE = 'QueueProducer.send, message handler, ctx.ack()';
const LOOP = 'ioredis: XADD pipelines, XREADGROUP, XACK + XDEL';

function contender(name: string, role: string, messages: number): Contender {
  return {
    name,
    round: async ({ spawn }) => {
      const worker = await spawn(role, { messages });
      const done = worker.next('done');
      worker.send({ type: 'go' });
      const { produceMs, consumeMs, ackMs } = await done;
      const rate = (ms: unknown): number => (messages / Number(ms)) * 1_000;
      return { producedPerSecond: rate(produceMs), consumedPerSecond: rate(consumeMs), ackedPerSecond: rate(ackMs), seconds: (Number(produceMs) + Number(consumeMs) + Number(ackMs)) / 1_000 };
    },
  };
}

const over = (name: string) => (round: Parameters<typeof metric>[0]): number => metric(round, ENGINE, name) / metric(round, LOOP, name);

/** ami itself is a Go library and is not run here; this is what it publishes figures of. */
export const queueAmiBench: Bench = {
  name: 'queue-ami',
  about: `1,000,000 messages {} over ${AMI_SHARDS} shards in one process: all produced, then all consumed, then all acknowledged and deleted (short form: 100,000)`,
  rounds: { full: 3, short: 0 },
  headline: 'seconds',
  contenders: (short) => {
    const messages = short ? 100_000 : 1_000_000;
    return [contender(ENGINE, 'queue-ami-engine', messages), contender(LOOP, 'queue-ami-loop', messages)];
  },
  ratios: [
    { name: 'queue, ami: produce over ioredis by hand', value: over('producedPerSecond') },
    { name: 'queue, ami: consume over ioredis by hand', value: over('consumedPerSecond') },
    { name: 'queue, ami: acknowledge over ioredis by hand', value: over('ackedPerSecond') },
  ],
};
