import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { readConfig } from '../config.js';
import { type ServiceName, SERVICES, type ShopOrder } from './shop-order.js';

/** What services have done, on a server besides the one that carries events and requests. */
export const REGISTER_KEYS = {
  /** HASH id -> order, as the order service keeps it. */
  orders: 'shop:orders',
  /** LIST `id instance`, one for each run of a handler that came to its end. */
  handled: (service: ServiceName): string => `shop:handled:${service}`,
} as const;

export function allRegisterKeys(): string[] {
  return [REGISTER_KEYS.orders, ...SERVICES.map(REGISTER_KEYS.handled)];
}

/** Where services write down what they did: what stands there was done, whatever becomes of who did it. */
@Injectable()
export class Register implements OnApplicationShutdown {
  private readonly redis = connect(readConfig().bankUrl);
  private readonly me = readConfig().name ?? 'nobody';

  /** Stores an order, and that it was handled, together. */
  async store(order: ShopOrder): Promise<void> {
    await this.redis.multi().hset(REGISTER_KEYS.orders, order.order_id, JSON.stringify(order)).rpush(REGISTER_KEYS.handled('orders'), `${order.order_id} ${this.me}`).exec();
  }

  async mailed(id: string): Promise<void> {
    await this.redis.rpush(REGISTER_KEYS.handled('mailing'), `${id} ${this.me}`);
  }

  async find(id: string): Promise<ShopOrder | undefined> {
    const text = await this.redis.hget(REGISTER_KEYS.orders, id);
    return text === null ? undefined : (JSON.parse(text) as ShopOrder);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.redis.quit().catch(() => this.redis.disconnect());
  }
}

function connect(url: string | undefined): Redis {
  if (url === undefined) throw new Error('a register is needed: npm run demo -- --scenario transport starts one, with the services');
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  return redis;
}
