import { buildProgram } from './cli/program.js';
import { red } from './ui/colors.js';

try {
  await buildProgram().parseAsync();
} catch (error) {
  process.stderr.write(`${red('error')}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
