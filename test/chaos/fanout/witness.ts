import { Redis } from 'ioredis';
import type { Topology } from '../../support/topology.js';
import { roomKeys, shardOfRoom } from './library.js';

/** A message as it went out to a room. */
export interface Release {
  readonly id: string;
  readonly redelivery: number;
  /** Orders what a room shows. It is the server's time of the release in microseconds. */
  readonly turn: number;
  /** Server milliseconds of its sending. */
  readonly sentAt: number;
}

/** How its connections are called on the server. */
export const WITNESS = 'witness';

const MESSAGE = /^m(\d+) \S+ (\d+) (\d+) \S+ (\d+) /;

/** Hears all rooms' channels over connections that no fault touches, and so knows what went out, in which order, and when. */
export class Witness {
  private readonly rooms = new Map<string, Release[]>();
  private readonly ids = new Map<string, Set<string>>();
  private readonly waiting = new Set<() => void>();
  /** What makes its word worthless. */
  readonly blind: string[] = [];
  ejections = 0;

  private constructor(private readonly connections: readonly Redis[]) {}

  static async watch(topology: Topology, rooms: readonly string[], shards: number): Promise<Witness> {
    const connections = topology.servers.map(({ port }) => new Redis({ port, host: '127.0.0.1', connectionName: WITNESS, retryStrategy: () => null }));
    const witness = new Witness(connections);
    for (const connection of connections) {
      connection.on('close', () => witness.blind.push('a connection of the witness was closed'));
      connection.on('error', (error: Error) => witness.blind.push(error.message));
    }
    for (const room of rooms) {
      witness.rooms.set(room, []);
      witness.ids.set(room, new Set());
    }
    // One SSUBSCRIBE for each shard: its channels have one hash slot.
    for (let shard = 0; shard < shards; shard++) {
      const names = new Map(rooms.filter((room) => shardOfRoom(room, shards) === shard).map((room) => [roomKeys(undefined, shard, room).state, room]));
      const [first] = names.keys();
      if (first === undefined) continue;
      const at = topology.kind === 'standalone' ? 0 : topology.servers.indexOf(await topology.cluster.nodeFor(first));
      const connection = connections[at]!;
      connection.on('smessage', (channel: string, text: string) => {
        const room = names.get(channel);
        if (room !== undefined) witness.heard(room, text);
      });
      await connection.ssubscribe(...names.keys());
    }
    return witness;
  }

  releases(room: string): readonly Release[] {
    return this.rooms.get(room) ?? [];
  }

  /** Different messages that have gone out. */
  shown(room: string): number {
    return this.ids.get(room)?.size ?? 0;
  }

  /** Resolves with the next release in any room, or soon. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 50);
      this.waiting.add(() => (clearTimeout(timer), resolve()));
    });
  }

  stop(): void {
    for (const connection of this.connections) {
      connection.removeAllListeners('close');
      connection.disconnect();
    }
  }

  private heard(room: string, text: string): void {
    if (text[0] === 'e') this.ejections++;
    const match = MESSAGE.exec(text);
    if (!match) return;
    const [, turn, id, redelivery, sentAt] = match as unknown as [string, string, string, string, string];
    this.rooms.get(room)!.push({ id, redelivery: Number(redelivery), turn: Number(turn), sentAt: Number(sentAt) });
    this.ids.get(room)!.add(id);
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}
