import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Observable } from 'rxjs';
import type { Task } from '../queue/messages.js';
import { type RedisStreamsContext, RedisStreamsServer } from './library.js';
import { answerTo, EVENT, MANY, ONE, type Question, type ServerConfig } from './messages.js';
import { report, trouble, Worker } from './process.js';

/** A Nest microservice. Its handlers are stubborn: they look at no signal, and have their effect whoever the owner is by now. */
const config = JSON.parse(process.argv[2] ?? '{}') as ServerConfig;
const { label, service } = config;
const worker = await Worker.start(config.ledgerPort);
/** By shard of a queue, as `session.joined` names it. */
const sessions = new Map<string, string>();

const began = (book: string, ctx: RedisStreamsContext, p: number, n: number): string => {
  const { delivery } = ctx;
  const scope = 'queue' in delivery ? `${delivery.queue}/${delivery.shard}#${delivery.group}` : '';
  const session = sessions.get(scope) ?? '-';
  worker.note(book, 'R', label, session, Date.now(), p, n, `${ctx.id}@${scope}`);
  return session;
};

@Controller()
class Handlers {
  @EventPattern<string>(EVENT)
  async event(@Payload() { p, n, workMs }: Task, @Ctx() ctx: RedisStreamsContext): Promise<void> {
    const session = began(service, ctx, p, n);
    if (workMs > 0) await sleep(workMs);
    await worker.ledger.note(service, 'E', p, n);
    if (config.events.ack !== 'manual') return;
    // Refused when the session is over: then it is another's to acknowledge.
    await ctx.ack().then(() => worker.note(service, 'A', session, p, n), () => undefined);
  }

  @MessagePattern(ONE)
  async one(@Payload() question: Question, @Ctx() ctx: RedisStreamsContext): Promise<string> {
    const { p, n, workMs } = question;
    began('requests', ctx, p, n);
    await sleep(workMs);
    await worker.ledger.note('requests', 'E', p, n);
    return answerTo(question, 0);
  }

  @MessagePattern(MANY)
  many(@Payload() question: Question, @Ctx() ctx: RedisStreamsContext): Observable<string> {
    const { p, n, workMs, values } = question;
    began('requests', ctx, p, n);
    return new Observable((subscriber) => {
      const say = async (): Promise<void> => {
        for (let i = 0; i < values && !subscriber.closed; i++) {
          await sleep(workMs);
          subscriber.next(answerTo(question, i));
        }
        await worker.ledger.note('requests', 'E', p, n);
        subscriber.complete();
      };
      say().catch((error: unknown) => subscriber.error(error));
    });
  }
}

@Module({ controllers: [Handlers] })
class Microservice {}

const { connection, name, ttlMs, shards, events, concurrency } = config;
const server = new RedisStreamsServer({
  connection, consumerName: name, session: { ttlMs }, transport: { service, shards, events, requests: { concurrency } },
  onError: (error, { during }) => trouble(`${during}: ${error.message}`),
});
/** Sessions of the routers' queue and so on are of no book. */
const bookOf = (scope: string): string | undefined => (scope.includes(`:event.${EVENT}/`) ? service : scope.includes(':request.') ? 'requests' : undefined);
const entered = (kind: string, scope: string, session: string): void => {
  const book = bookOf(scope);
  if (book !== undefined) worker.note(book, kind, session, label);
};
server.on('session.joined', ({ scope, session }) => {
  sessions.set(scope, session);
  entered('J', scope, session);
});
server.on('session.lost', ({ scope, session }) => entered('X', scope, session));
server.on('session.left', ({ scope, session }) => entered('L', scope, session));
server.on('queue.terminated', ({ reason }) => report({ type: 'terminated', reason }));
server.on('queue.deadLettered', (event) => trouble(`a dead letter: ${JSON.stringify(event, (key, value: unknown) => (key === 'error' ? String(value) : value)).slice(0, 500)}`));

const app = await NestFactory.createMicroservice(Microservice, { strategy: server, logger: false, abortOnError: false });
worker.onCommand(({ type }) => {
  if (type === 'stop') void worker.stop(() => app.close());
});
await app.listen();
report({ type: 'ready' });
