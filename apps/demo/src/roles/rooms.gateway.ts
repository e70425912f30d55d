import { ConnectedSocket, MessageBody, type OnGatewayDisconnect, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { FanoutService } from 'nestjs-redis-streams';
import type { WebSocket } from 'ws';
import { ROOMS_PATH } from '../rooms/room.js';
import { Guest } from './guest.js';

/**
 * Web sockets in rooms: each connection is a local subscriber of its room, so the room waits for every one of them,
 * and this process has one subscription and gives one acknowledgement for all of a room.
 */
@WebSocketGateway({ path: ROOMS_PATH })
export class RoomsGateway implements OnGatewayDisconnect<WebSocket> {
  private readonly guests = new Map<WebSocket, Guest>();

  constructor(private readonly fanout: FanoutService) {}

  @SubscribeMessage('join')
  async join(@ConnectedSocket() socket: WebSocket, @MessageBody() { room }: { readonly room: string }): Promise<void> {
    await this.guests.get(socket)?.leave();
    const guest = new Guest(socket);
    this.guests.set(socket, guest);
    await guest.stay(await this.fanout.join(room, guest.show, { joined: guest.joined, ejected: guest.ejected }));
  }

  @SubscribeMessage('ack')
  ack(@ConnectedSocket() socket: WebSocket, @MessageBody() { id }: { readonly id: string }): void {
    this.guests.get(socket)?.acknowledged(id);
  }

  async handleDisconnect(socket: WebSocket): Promise<void> {
    const guest = this.guests.get(socket);
    this.guests.delete(socket);
    await guest?.leave();
  }
}
