import type { EjectedSubscriber, JoinedRoom, RoomContext, RoomSubscription } from 'nestjs-redis-streams';
import { WebSocket } from 'ws';
import type { ServerMessage, Tick, Urgent } from '../rooms/room.js';

/** A web socket in a room: shows it what comes, and waits for its acknowledgement. */
export class Guest {
  private subscription: RoomSubscription | undefined;
  private readonly owed = new Map<string, () => void>();

  constructor(private readonly socket: WebSocket) {}

  get isConnected(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** The handler of its room: its return acknowledges, so it returns when the client has. */
  readonly show = async (data: unknown, ctx: RoomContext): Promise<void> => {
    if (ctx.outOfBand) return this.tell({ event: 'urgent', data: data as Urgent });
    const acknowledged = this.acknowledgement(ctx);
    this.tell({ event: 'tick', data: { ...(data as Tick), id: ctx.id } });
    await acknowledged;
  };

  /** Called before the first message is shown. */
  readonly joined = ({ room, subscriber }: JoinedRoom): void => this.tell({ event: 'joined', data: { room, subscriber, at: Date.now() } });

  readonly ejected = ({ reason }: EjectedSubscriber): void => this.tell({ event: 'ejected', data: { reason } });

  /** The client has acknowledged. */
  acknowledged(id: string): void {
    this.owed.get(id)?.();
  }

  /** A socket may close while its room is being joined. */
  async stay(subscription: RoomSubscription): Promise<void> {
    this.subscription = subscription;
    if (!this.isConnected) await this.leave();
  }

  async leave(): Promise<void> {
    await this.subscription?.leave();
  }

  private acknowledgement({ id, signal }: RoomContext): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const given = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', given);
      this.owed.set(id, () => {
        signal.removeEventListener('abort', given);
        resolve();
      });
    }).finally(() => this.owed.delete(id));
  }

  private tell(message: ServerMessage): void {
    if (this.isConnected) this.socket.send(JSON.stringify(message));
  }
}
