import { Command, Option } from 'commander';
import { DEFAULTS } from '../config.js';
import { SCENARIOS } from '../scenarios/index.js';
import type { RunOptions } from '../supervisor/run-options.js';
import { runDemo } from '../supervisor/run.js';
import { addRoleCommands } from './role-commands.js';
import { numberFrom } from './values.js';

export function buildProgram(): Command {
  const program = new Command('npm run demo --')
    .description('Order streams, leased to consumers; payments over partitions, owned by workers (scenario rebalance); web sockets in rooms that move in lock-step (scenario rooms); jobs through a queue (scenario queue); or events and requests between APIs and microservices (scenario transport): HTTP APIs, a producer and N consumers, each a Nest application in a process of its own.')
    .addOption(new Option('--scenario <name>', 'play one and judge it; exit code 0 only if its promises held').choices(SCENARIOS.map(({ name }) => name)))
    .option('--consumers <n>', 'consumers, or workers (3), or web sockets in each room (4), or processors of the queue (2)', numberFrom(1, 50, true))
    .option('--rate <n>', `streams announced, or payments sent, a second, ticks a second and room, or orders and requests a second by HTTP (${DEFAULTS.rate}; scenarios have their own)`, numberFrom(0, 5_000))
    .option('--seconds <n>', 'how long to run (until Ctrl-C; scenarios 20 or 30)', numberFrom(5, 86_400))
    .option('--messages <n>', 'jobs to send through the queue; that scenario lasts until they are done (200,000)', numberFrom(1_000, 10_000_000, true))
    .option('--speed <factor>', 'work this many times faster than 4 / 2 / 1 s for low / normal / high, or 4 to 12 ms a payment (1)', numberFrom(0.01, 1_000))
    .option('--ttl <ms>', `session ttl: silence after which a consumer is dead (${DEFAULTS.ttlMs})`, numberFrom(300, 60_000, true))
    .option('--slack <ms>', 'added to all that scenarios promise of time, for a machine that has other things to do (0)', numberFrom(0, 60_000, true))
    .option('--hand-over', 'move streams in work to consumers that have room; scale-out always does')
    .option('--quiet', 'tables and incidents only, no line for every stream')
    .option('--no-quiet', 'a line for every step of every stream')
    .option('--port <port>', `the API's port; a free one when it is taken (${DEFAULTS.port})`, numberFrom(0, 65_535, true))
    .option('--host <host>', `the API's address (${DEFAULTS.host})`)
    .option('--summary <file>', 'write what happened as JSON')
    .allowExcessArguments(false)
    .addHelpText('after', () => `
Scenarios:
${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(11)} ${about}`).join('\n')}

Redis: REDIS_URL if set; else redis-server or valkey-server on PATH, started privately; else an embedded server from npm.

Roles by hand, each in a terminal of its own:
  npm run demo:consumer -- --name c1
  npm run demo:producer -- --rate 5
  npm run demo:api -- --port 3000`)
    .action(async (_options: unknown, command: Command) => {
      process.exitCode = await demo(command);
    });
  addRoleCommands(program);
  return program;
}

/** Only what was given: scenarios have defaults of their own for the rest. */
async function demo(command: Command): Promise<number> {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(command.opts<Record<string, unknown>>())) {
    if (command.getOptionValueSource(name) === 'cli') given[name] = value;
  }
  const { scenario, ttl, slack, ...rest } = given;
  const options = { ...rest, ...(ttl === undefined ? {} : { ttlMs: ttl }), ...(slack === undefined ? {} : { slackMs: slack }) } as Partial<RunOptions>;
  return runDemo(SCENARIOS.find(({ name }) => name === scenario), options);
}
