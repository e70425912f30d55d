import type { IncomingResponse, WritePacket } from '@nestjs/microservices';
import type { Codec } from './codec.js';
import type { Requester } from './reply-inbox.js';

/** How a client reads what a server says. */
export interface ReplyReading {
  readonly codec: Codec;
  /** Of the user's, or Nest's for packets of a serializer. */
  deserialize(value: unknown): unknown;
  /** The user has given one: it sees every reply. */
  readonly hasDeserializer: boolean;
}

/** Tells Nest's client of the replies to one request, in their order also where reading them takes a while. */
export class Teller implements Requester {
  /** Set where a reply before is still being read. */
  private before: Promise<void> | undefined;

  constructor(
    readonly pattern: string,
    private readonly reading: ReplyReading,
    private readonly tell: (packet: WritePacket) => void,
  ) {}

  value(response: unknown, codec: string | undefined, isLast: boolean): void {
    this.say(isLast ? { response, isDisposed: true } : { response }, response, codec);
  }

  ended(): void {
    this.inTurn({ isDisposed: true });
  }

  failed(err: unknown, codec?: string): void {
    if (err instanceof Error) this.inTurn({ err, isDisposed: true });
    else this.say({ err, isDisposed: true }, err, codec);
  }

  private say(packet: WritePacket, value: unknown, codec: string | undefined): void {
    const { hasDeserializer } = this.reading;
    if (!hasDeserializer && (codec === undefined || codec === 'msgpack')) return this.inTurn(codec === undefined ? packet : this.unpacked(packet, value, codec));
    this.before = Promise.all([this.deserialized(packet, value, codec), this.before]).then(([read]) => this.tell(read));
  }

  private inTurn(packet: WritePacket): void {
    if (!this.before) return this.tell(packet);
    this.before = this.before.then(() => this.tell(packet));
  }

  private unpacked(packet: WritePacket, value: unknown, codec: string): WritePacket {
    try {
      const read = this.reading.codec.decode(value, codec);
      return 'err' in packet ? { ...packet, err: read } : { ...packet, response: read };
    } catch (error) {
      return { err: error, isDisposed: true };
    }
  }

  private async deserialized(packet: WritePacket, value: unknown, codec: string | undefined): Promise<WritePacket> {
    try {
      const { codec: written, deserialize } = this.reading;
      const raw = codec === 'packet' || codec === 'bytes' ? written.decode(value, codec) : this.unpackedFor(packet, value, codec);
      const { err, response } = (await deserialize(raw)) as IncomingResponse;
      return err === undefined || err === null ? { ...packet, response } : { err, isDisposed: true };
    } catch (error) {
      return { err: error, isDisposed: true };
    }
  }

  private unpackedFor(packet: WritePacket, value: unknown, codec: string | undefined): WritePacket {
    return codec === undefined ? packet : this.unpacked(packet, value, codec);
  }
}
