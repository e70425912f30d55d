// Runs npm scripts at the same time, those that mostly wait: `node tools/side-by-side.mjs a b,c` runs b and then c beside a.
// What one prints appears when it has ended, and what a failed one printed at the very end: a log is read from there.
// Exits 1 when any of them failed; the others are run to their end.
import { spawn } from 'node:child_process';

const running = new Set();
const failures = [];
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(130);
  });
}

function run(script) {
  const startedAt = performance.now();
  const child = spawn('npm', ['run', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => printed.push(chunk));
  return new Promise((resolve) => {
    child.once('error', (error) => printed.push(Buffer.from(`${error.message}\n`)));
    child.once('close', (code) => {
      running.delete(child);
      const after = `after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`;
      if (code === 0) process.stdout.write(Buffer.concat(printed));
      else failures.push(Buffer.concat([...printed, Buffer.from(`${script}: FAILED ${after}\n`)]));
      console.log(`${script}: ${code === 0 ? 'ok' : 'FAILED, see the end'} ${after}`);
      resolve();
    });
  });
}

const lanes = process.argv.slice(2).map(async (list) => {
  for (const script of list.split(',')) await run(script);
});
await Promise.all(lanes);
for (const printed of failures) process.stdout.write(printed);
process.exitCode = failures.length > 0 ? 1 : 0;
