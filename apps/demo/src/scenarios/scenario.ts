import type { JobStage } from '../jobs/job-stage.js';
import type { PaymentStage } from '../payments/payment-stage.js';
import type { RoomStage } from '../rooms/room-stage.js';
import type { ShopStage } from '../shop/shop-stage.js';
import type { RunOptions } from '../supervisor/run-options.js';
import type { Stage } from '../supervisor/stage.js';
import type { DemoServer } from '../server/server.js';

interface Play<On> {
  readonly name: string;
  readonly about: string;
  /** What it needs unless the command line says otherwise. The embedded server bears less than a real one. */
  defaults(server: DemoServer['kind']): Partial<RunOptions>;
  /** Plays while the producer works. When it returns, the producer stops, and what is open is drained. */
  play(stage: On): Promise<void>;
}

/** Order streams, leased to consumers. */
export interface OrderScenario extends Play<Stage> {
  readonly kind?: 'orders';
}

/** Payments over partitions, owned by workers. */
export interface PaymentScenario extends Play<PaymentStage> {
  readonly kind: 'payments';
}

/** Web sockets in rooms, on several API instances. */
export interface RoomScenario extends Play<RoomStage> {
  readonly kind: 'rooms';
}

/** Jobs through a queue, done by processors. */
export interface JobScenario extends Play<JobStage> {
  readonly kind: 'jobs';
}

/** Events and requests between Nest applications. */
export interface ShopScenario extends Play<ShopStage> {
  readonly kind: 'shop';
}

export type Scenario = OrderScenario | PaymentScenario | RoomScenario | JobScenario | ShopScenario;
