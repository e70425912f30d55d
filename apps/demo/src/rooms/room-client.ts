import { WebSocket } from 'ws';
import { say } from '../ui/lines.js';
import type { EndOfStay, RoomJournal, Stay } from './journal.js';
import { ROOMS_PATH, type ClientMessage, type ServerMessage } from './room.js';

/** `prompt` acknowledges at once, `slow` takes its time, `stopped` reads and never acknowledges. */
export type Manner = 'prompt' | 'slow' | 'stopped';

/** Where clients can connect. */
export interface Instances {
  /** Names, in the order in which a client tries them. */
  names(): readonly string[];
  url(name: string): string;
  /** All is done: a connection that ends now is nobody's loss. */
  isOver(): boolean;
}

export const SLOW_MS = 200;
const PING_MS = 200;
/** An instance that answers nothing for so many pings is given up. */
const UNANSWERED = 4;
const CONNECT_WITHIN_MS = 500;
const AGAIN_MS = 50;

/** What a browser would be: keeps a web socket to one of the instances, and acknowledges what it has shown. */
export class RoomClient {
  manner: Manner = 'prompt';
  stay: Stay | undefined;
  reconnects = -1;
  private socket: WebSocket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;

  constructor(readonly name: string, readonly room: string, public instance: string, private readonly journal: RoomJournal, private readonly instances: Instances) {}

  /** The server says that it is in, and that is not over. */
  get isIn(): boolean {
    return this.stay !== undefined && this.stay.over === undefined;
  }

  connect(): void {
    if (this.ended || this.instances.isOver()) return;
    const socket = new WebSocket(`${this.instances.url(this.instance).replace('http', 'ws')}${ROOMS_PATH}`, { handshakeTimeout: CONNECT_WITHIN_MS });
    this.socket = socket;
    let unanswered = 0;
    const ping = setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (unanswered++ < UNANSWERED) return socket.ping();
      this.end('silent');
      socket.terminate();
    }, PING_MS);
    socket.on('open', () => {
      this.reconnects++;
      this.say({ event: 'join', data: { room: this.room } });
    });
    socket.on('pong', () => (unanswered = 0));
    socket.on('message', (text) => this.heard(JSON.parse(String(text)) as ServerMessage));
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => {
      clearInterval(ping);
      if (this.socket === socket) this.lost();
    });
  }

  /** Hangs up, whatever it owes, and goes to another instance. */
  move(instance: string): void {
    this.end('moved');
    const { socket } = this;
    this.instance = instance;
    this.connect();
    socket?.terminate();
  }

  /** Acknowledges again. If its room has gone on without it, it joins again. */
  wake(): void {
    this.manner = 'prompt';
    if (!this.isIn) this.say({ event: 'join', data: { room: this.room } });
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket?.terminate();
  }

  private lost(): void {
    if (this.instances.isOver()) return;
    this.end('closed');
    const names = this.instances.names();
    this.instance = names[(names.indexOf(this.instance) + 1) % names.length] ?? this.instance;
    if (!this.ended) this.timer = setTimeout(() => this.connect(), AGAIN_MS);
  }

  private heard(message: ServerMessage): void {
    switch (message.event) {
      case 'joined': {
        const { at, subscriber } = message.data;
        this.stay = this.journal.joined({ client: this.name, room: this.room, instance: this.instance, subscriber, joinedAt: at });
        return;
      }
      case 'tick': {
        const { stay } = this;
        if (!stay) return;
        const { tick, id } = message.data;
        this.journal.seen(stay, message.data);
        if (this.manner === 'stopped') return;
        // Some time passes in a client even when it is fast.
        return after(this.manner === 'slow' ? SLOW_MS : Math.random() * 8, () => this.acknowledge(stay, tick, id));
      }
      case 'urgent':
        return this.journal.shown(this.name, this.room, message.data);
      case 'ejected':
        say(this.name, 'ejected', this.room, `told that it is out: ${message.data.reason}`);
        this.end('ejected');
        // A browser tab that is stopped would not ask either.
        if (this.manner !== 'stopped') this.say({ event: 'join', data: { room: this.room } });
    }
  }

  private acknowledge(stay: Stay, tick: number, id: string): void {
    if (stay.over || this.socket?.readyState !== WebSocket.OPEN) return;
    this.journal.acked(stay, tick);
    this.say({ event: 'ack', data: { id } });
  }

  private end(why: EndOfStay): void {
    if (this.stay && !this.instances.isOver()) this.journal.ended(this.stay, why);
  }

  private say(message: ClientMessage): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

/** Not a moment earlier: Node counts a timer from the start of the round of events it is set in. */
function after(ms: number, act: () => void, due = Date.now() + ms): void {
  setTimeout(() => (Date.now() < due ? after(0, act, due) : act()), ms);
}
