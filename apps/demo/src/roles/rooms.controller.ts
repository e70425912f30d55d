import { Body, Controller, Get, Param, Post } from '@nestjs/common';
import { FanoutService, type FanoutMetrics, type RoomState, type SentRoomMessage } from 'nestjs-redis-streams';
import type { Urgent } from '../rooms/room.js';

@Controller('rooms')
export class RoomsController {
  constructor(private readonly fanout: FanoutService) {}

  @Get()
  metrics(): Promise<FanoutMetrics> {
    return this.fanout.metrics();
  }

  /** What the room shows, who is in it, and who owes an acknowledgement. */
  @Get(':room')
  state(@Param('room') room: string): Promise<RoomState> {
    return this.fanout.state(room);
  }

  /** Shown to everybody in the room at once, whatever the room waits for. */
  @Post(':room/urgent')
  urgent(@Param('room') room: string, @Body() { text }: { readonly text: string }): Promise<SentRoomMessage> {
    const urgent: Urgent = { text, at: Date.now() };
    return this.fanout.sendOutOfBand(room, urgent);
  }
}
