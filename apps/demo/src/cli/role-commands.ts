import type { Command } from 'commander';
import { readConfig, toEnvironment, type RoleConfig } from '../config.js';
import { findServer } from '../server/find-server.js';
import { publish, running } from '../server/rendezvous.js';
import { type DemoServer, withoutPassword } from '../server/server.js';
import { say } from '../ui/lines.js';
import { numberFrom } from './values.js';

type Options = Partial<Pick<RoleConfig, 'name' | 'speed' | 'rate' | 'port' | 'host' | 'quiet'>>;

/** One role in this process: started by the supervisor, or by hand in a terminal of its own. */
export function addRoleCommands(program: Command): void {
  const speed = ['--speed <factor>', 'work this many times faster than 4 / 2 / 1 s', numberFrom(0.01, 1_000)] as const;
  program.command('consumer').description('one consumer')
    .option('--name <name>', 'consumer name; default POD_NAME, POD_IP or the host name')
    .option(...speed)
    .action((options: Options) => runRole(options, async () => (await import('../roles/consumer.js')).runConsumer()));
  program.command('producer').description('one producer')
    .option('--rate <n>', 'streams announced a second', numberFrom(0, 5_000))
    .action((options: Options) => runRole(options, async () => (await import('../roles/producer.js')).runProducer()));
  program.command('worker').description('one worker that books payments (the rebalance scenario starts them)')
    .requiredOption('--name <name>', 'consumer name')
    .action((options: Options) => runRole(options, async () => (await import('../roles/worker.js')).runWorker()));
  program.command('payer').description('the producer of payments (the rebalance scenario starts it)')
    .option('--rate <n>', 'payments a second', numberFrom(0, 5_000))
    .action((options: Options) => runRole(options, async () => (await import('../roles/payer.js')).runPayer()));
  program.command('gateway').description('one API instance with web sockets in rooms (the rooms scenario starts them)')
    .requiredOption('--name <name>', 'consumer name')
    .action((options: Options) => runRole(options, async () => (await import('../roles/gateway.js')).runGateway()));
  program.command('ticker').description('the sender of ticks to rooms (the rooms scenario starts it)')
    .option('--rate <n>', 'ticks a second and room at most', numberFrom(0.1, 1_000))
    .action((options: Options) => runRole(options, async () => (await import('../roles/ticker.js')).runTicker()));
  program.command('processor').description('one processor of jobs (the queue scenario starts them)')
    .requiredOption('--name <name>', 'consumer name')
    .action((options: Options) => runRole(options, async () => (await import('../roles/processor.js')).runProcessor()));
  program.command('sender').description('the sender of jobs (the queue scenario starts it)')
    .action((options: Options) => runRole(options, async () => (await import('../roles/sender.js')).runSender()));
  program.command('microservice').description('one instance of a service of events and requests (the transport scenario starts them)')
    .requiredOption('--name <name>', 'consumer name')
    .action((options: Options) => runRole(options, async () => (await import('../roles/microservice.js')).runMicroservice()));
  program.command('api').description('the HTTP API')
    .option('--port <port>', 'where it listens', numberFrom(0, 65_535, true))
    .option('--host <host>', 'address it listens on')
    .action((options: Options) => runRole(options, async () => (await import('../roles/api.js')).runApi()));
}

/** The role's modules read the configuration when they are loaded, so it is complete before they are imported. */
async function runRole(options: Options, live: () => Promise<void>): Promise<void> {
  const place = process.send ? undefined : await meet();
  Object.assign(process.env, toEnvironment({ ...readConfig(), ...place?.config, ...options }));
  try {
    await live();
  } finally {
    await place?.server?.close();
  }
}

interface Place {
  readonly config: Partial<RoleConfig>;
  readonly server?: DemoServer;
}

/** REDIS_URL, else the demo that runs on this machine, else a server of our own for others to join. */
async function meet(): Promise<Place> {
  const meeting = process.env['REDIS_URL'] ? undefined : await running();
  if (meeting) {
    say('demo', 'joining', '', `the demo of process ${meeting.pid}, at ${withoutPassword(meeting.url)}`);
    return { config: { redisUrl: meeting.url, service: meeting.service } };
  }
  const server = await findServer();
  say('demo', 'server', '', server.kind === 'given' ? server.about : `${server.about}; other terminals join it`);
  if (server.kind !== 'given') publish({ url: server.url, service: readConfig().service });
  return { config: { redisUrl: server.url }, server };
}
