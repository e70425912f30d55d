export const PRIORITIES = ['low', 'normal', 'high'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** What is announced with a stream. */
export interface OrderInfo {
  readonly order_id: string;
  readonly customer_id: string;
  readonly amount: number;
  readonly priority: Priority;
  readonly status: 'pending';
  readonly created_at: string;
}

const WORK_MS: Readonly<Record<Priority, number>> = { low: 4_000, normal: 2_000, high: 1_000 };

/** Time an order takes. */
export function workMs(priority: unknown, speed: number): number {
  return (WORK_MS[priority as Priority] ?? WORK_MS.normal) / speed;
}

export function makeOrder(n: number): OrderInfo {
  return {
    order_id: `order-${n}`,
    customer_id: `customer-${1 + Math.floor(Math.random() * 500)}`,
    amount: Math.round(500 + Math.random() * 50_000) / 100,
    priority: PRIORITIES[Math.floor(Math.random() * PRIORITIES.length)] ?? 'normal',
    status: 'pending',
    created_at: new Date().toISOString(),
  };
}

/** What happens to an order: the entries of its data stream. */
export function orderSteps(order: OrderInfo): Array<Record<string, string>> {
  return [
    { step: 'items', order_id: order.order_id },
    { step: 'payment', amount: String(order.amount) },
    { step: 'packing', priority: order.priority },
    { step: 'shipping', customer_id: order.customer_id },
  ];
}
