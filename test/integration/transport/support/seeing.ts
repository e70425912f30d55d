import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { beforeEach } from 'vitest';

/** What handlers of this test were given. */
export const seen: unknown[] = [];
beforeEach(() => void (seen.length = 0));

@Controller()
export class SeeingEvents {
  @EventPattern<unknown>('event')
  event(@Payload() data: unknown): void {
    seen.push(data);
  }
}
