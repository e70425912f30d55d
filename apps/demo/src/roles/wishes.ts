import { BadRequestException } from '@nestjs/common';
import { PRIORITIES, type OrderInfo } from '../orders/order.js';

/** `{"priority": "high", "amount": 12.5, "customer_id": "me"}`, each of them optional. */
export type Wishes = Partial<Pick<OrderInfo, 'priority' | 'amount' | 'customer_id'>>;

export function parseWishes(body: unknown): Wishes {
  if (body === undefined || body === null) return {};
  if (typeof body !== 'object' || Array.isArray(body)) throw new BadRequestException('the body must be a JSON object');
  const { priority, amount, customer_id } = body as Record<string, unknown>;
  if (priority !== undefined && !PRIORITIES.some((known) => known === priority)) throw new BadRequestException(`priority must be one of ${PRIORITIES.join(', ')}`);
  if (amount !== undefined && (typeof amount !== 'number' || amount < 0)) throw new BadRequestException('amount must be a number from 0');
  if (customer_id !== undefined && (typeof customer_id !== 'string' || customer_id === '')) throw new BadRequestException('customer_id must be a non-empty string');
  return Object.fromEntries(Object.entries({ priority, amount, customer_id }).filter(([, value]) => value !== undefined)) as Wishes;
}
