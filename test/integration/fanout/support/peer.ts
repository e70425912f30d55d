import { waitUntil } from '../../../support/wait.js';
import { Witness } from '../../support/witness.js';
import type { FanoutClient, RoomState } from './engine.js';

/** An engine that remembers everything that happened to it. */
export class Peer extends Witness {
  get rooms(): FanoutClient { return this.engine.fanout(); }

  /** Waits until the room is in this state. */
  async sees(room: string, what: string, is: (state: RoomState) => boolean, timeoutMs = 20_000): Promise<RoomState> {
    let state: RoomState | undefined;
    await waitUntil(async () => is((state = await this.rooms.state(room))), { what: `${room}: ${what}`, timeoutMs });
    return state!;
  }

  /** Nothing waits in it, nothing is current. */
  idle(room: string, timeoutMs?: number): Promise<RoomState> {
    return this.sees(room, 'idle', ({ current, backlog }) => current === undefined && backlog === 0, timeoutMs);
  }
}
