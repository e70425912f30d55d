import { tellWhatLingers } from '../../support/lingering.js';
import { LedgerWriter } from '../queue/ledger.js';
import type { Command, GuestsReport } from './messages.js';

/** What all processes of this world do alike: report, write into the ledger, end by themselves. */
export class Worker {
  private closing = false;

  private constructor(readonly ledger: LedgerWriter) {}

  static async start(ledgerPort: number): Promise<Worker> {
    process.on('unhandledRejection', (reason) => report({ type: 'unhandled', message: String(reason instanceof Error ? reason.stack : reason) }));
    process.on('disconnect', () => process.exit(2));
    let worker: Worker | undefined;
    const ledger = await LedgerWriter.connect(ledgerPort, (error) => worker?.closing || trouble(`the ledger: ${error.message}`));
    worker = new Worker(ledger);
    return worker;
  }

  readonly note = (...line: Array<string | number>): void => void this.ledger.note(...line).catch(() => undefined); // told above

  onCommand(handle: (command: Command) => unknown): void {
    process.on('message', handle);
  }

  async stop(close: () => Promise<unknown>): Promise<void> {
    const error = await close().then(() => undefined, String);
    report({ type: 'stopped', error });
    this.closing = true;
    tellWhatLingers(3_000);
    await this.ledger.close();
    // Nothing of ours is left but this channel: with it gone the process must end by itself.
    process.removeAllListeners('disconnect');
    process.disconnect?.();
  }
}

export function report(message: GuestsReport): void {
  process.send?.(message, undefined, {}, () => undefined);
}

export function trouble(message: string): void {
  report({ type: 'trouble', message });
}
