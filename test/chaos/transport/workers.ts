import { WorkerProcess } from '../worker-process.js';
import type { ClientConfig, Command, GuestsConfig, GuestsReport, ServerConfig } from './messages.js';

const START_MS = 60_000;

export class TransportProcess extends WorkerProcess<GuestsReport, Command> {
  /** It is ended, and that is in order. */
  expectedToEnd = false;

  protected static async born<P extends TransportProcess>(script: string, config: { readonly label: string }, make: (process: TransportProcess['process']) => P): Promise<P> {
    const born = make(TransportProcess.start<GuestsReport>(new URL(script, import.meta.url), config, config.label));
    await born.first('ready', START_MS, 'its start');
    return born;
  }

  override kill(): Promise<void> {
    this.expectedToEnd = true;
    return super.kill();
  }

  /** Graceful; waits until the process has ended by itself. */
  stop(timeoutMs = 30_000): Promise<void> {
    this.expectedToEnd = true;
    return this.end({ type: 'stop' }, 'stopped', timeoutMs);
  }
}

export class ServerProcess extends TransportProcess {
  static spawn(config: ServerConfig): Promise<ServerProcess> {
    return this.born('./server-worker.js', config, (process) => new ServerProcess(config, process));
  }

  private constructor(readonly config: ServerConfig, process: TransportProcess['process']) {
    super(config.name, process);
  }
}

export class ClientProcess extends TransportProcess {
  static spawn(config: ClientConfig): Promise<ClientProcess> {
    return this.born('./client-worker.js', config, (process) => new ClientProcess(config.producer, process));
  }

  private constructor(readonly number: number, process: TransportProcess['process']) {
    super(`client-${number}`, process);
  }
}

export class GuestsProcess extends TransportProcess {
  static spawn(config: GuestsConfig): Promise<GuestsProcess> {
    return this.born('./guests-worker.js', config, (process) => new GuestsProcess('guests', process));
  }
}
