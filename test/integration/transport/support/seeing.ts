import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';

/** What handlers were given. Each file empties it before each of its tests: a hook here would be that of the first file only. */
export const seen: unknown[] = [];

@Controller()
export class SeeingEvents {
  @EventPattern<unknown>('event')
  event(@Payload() data: unknown): void {
    seen.push(data);
  }
}
