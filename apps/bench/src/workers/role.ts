import type { Message, WorkerOptions } from '../support/worker.js';

export interface RoleContext {
  readonly url: string;
  readonly options: WorkerOptions;
  tell(message: Message): void;
}

/** Prepares a role; the function it answers gets every message of the bench. */
export type Role = (context: RoleContext) => Promise<(message: Message) => Promise<void>>;
