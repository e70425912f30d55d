import type { FanoutMetrics } from 'nestjs-redis-streams';
import { Scene, type Setting, type Watched } from '../supervisor/scene.js';
import { count, say } from '../ui/lines.js';
import type { RoomJournal } from './journal.js';
import { RoomClient, type Instances } from './room-client.js';
import { ROOMS } from './room.js';

/** What the rooms scenario plays on: API instances to start and hurt, clients to hurt, and what the clients record. */
export class RoomStage extends Scene implements Instances {
  readonly clients: RoomClient[] = [];
  protected readonly watched: Watched;
  private readonly urls = new Map<string, string>();

  constructor(setting: Setting, readonly journal: RoomJournal) {
    super(setting);
    this.watched = journal;
  }

  async startInstance(name: string): Promise<void> {
    this.states.set(name, 'starting');
    const { url = '' } = await (await this.cast.start('gateway', name, this.config(name))).ready;
    this.urls.set(name, url);
    this.states.set(name, 'running');
  }

  async startTicker(): Promise<void> {
    await this.cast.start('ticker', 'ticker', this.config());
  }

  /** A client that asks to be let into its room; see {@link isIn}. */
  addClient(name: string, room: string, instance: string): RoomClient {
    const client = new RoomClient(name, room, instance, this.journal, this);
    this.clients.push(client);
    client.connect();
    return client;
  }

  client(name: string): RoomClient {
    const client = this.clients.find((one) => one.name === name);
    if (!client) throw new Error(`there is no client "${name}"`);
    return client;
  }

  on(instance: string): RoomClient[] {
    return this.clients.filter((client) => client.instance === instance);
  }

  kill(instance: string): void {
    this.hurt(instance, 'SIGKILL');
    this.signalKill(instance);
  }

  freeze(instance: string): void {
    this.hurt(instance, 'SIGSTOP');
    this.signalStop(instance);
  }

  thaw(instance: string): void {
    say('demo', 'fault', instance, 'SIGCONT: it wakes up and believes that its clients are still there');
    this.signalContinue(instance);
  }

  /** The last tick that anybody in the room was shown. */
  lastTick(room: string): number {
    return this.journal.progress(room).tick;
  }

  /** Every room has completed a tick without it, and shown the next one. */
  allWentOnWithout(instance: string): boolean {
    return ROOMS.every((room) => this.journal.wentOnWithout(room).includes(instance));
  }

  /** Local subscribers and rooms of an instance, as its HTTP API says. */
  async metrics(instance: string): Promise<Pick<FanoutMetrics, 'subscribers' | 'subscribedRooms'>> {
    const response = await fetch(`${this.url(instance)}/rooms`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`GET /rooms answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as FanoutMetrics;
  }

  /** Says something to a room, whatever it waits for, over the HTTP API of an instance. */
  async urgent(instance: string, room: string, text: string): Promise<void> {
    const response = await fetch(`${this.url(instance)}/rooms/${room}/urgent`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }), signal: AbortSignal.timeout(2_000),
    });
    if (response.status !== 201) throw new Error(`POST /rooms/${room}/urgent answered ${response.status}: ${await response.text()}`);
  }

  // What clients may know.

  names(): readonly string[] {
    return [...this.urls.keys()];
  }

  url(instance: string): string {
    return this.urls.get(instance) ?? '';
  }

  isOver(): boolean {
    return Date.now() >= this.drainedAt;
  }

  private hurt(instance: string, kind: 'SIGKILL' | 'SIGSTOP'): void {
    const clients = this.on(instance);
    say('demo', 'fault', instance, `${kind} while it has ${count(clients.length, 'client')}: ${clients.map(({ name }) => name).join(' ')}`);
    this.journal.fault(instance);
  }
}
