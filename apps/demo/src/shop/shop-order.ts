import type { OrderInfo } from '../orders/order.js';

/** The event of a new order; every service that handles it gets it. */
export const PLACED = 'order.placed';
/** The request for an order, by its id. */
export const GET_ORDER = 'order.get';

/** Services that handle each event. */
export const SERVICES = ['orders', 'mailing'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** Events an instance holds, which others get again when it dies. */
export const PREFETCH = 64;
export const CONCURRENCY = 16;
/** What a handler takes over an event. */
export const WORK_MS = 5;

export interface OrderRequest {
  readonly id: string;
}

export type ShopOrder = OrderInfo;
