import { Buffer } from 'node:buffer';
import { InvalidOptionsError } from '../errors/index.js';
import { deeperThan } from '../kernel/depth.js';

interface Packer {
  pack(value: unknown): Uint8Array;
  unpack(bytes: Uint8Array): unknown;
}

export interface CodecOptions {
  readonly codec: 'json' | 'msgpack';
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** Data as it travels: JSON, of base64 where it is bytes. */
export interface Encoded {
  readonly text: string;
  /** How to read it; undefined: it is the data. */
  readonly codec: string | undefined;
}

/** Why data cannot be read: no attempt more would help. */
export class UndecodableError extends Error {}

/** Between data and text. Both sides read whatever the other writes; `codec` is what this side writes. */
export class Codec {
  private packer: Packer | undefined;

  constructor(private readonly options: CodecOptions) {}

  /** Whether it can write what it shall. */
  get isReady(): boolean {
    return this.options.codec === 'json' || this.packer !== undefined;
  }

  /** @throws InvalidOptionsError: msgpack is asked for, and msgpackr is not there */
  async load(): Promise<void> {
    try {
      const { Packr } = await import('msgpackr');
      // Objects as records, so that maps stay maps; sets and errors as what they are. No references to what was read before:
      // a few hundred bytes of them are a tree that takes years to walk.
      this.packer ??= new Packr({ useRecords: true, moreTypes: true, structuredClone: false }) as Packer;
    } catch (error) {
      if (this.options.codec === 'msgpack') throw new InvalidOptionsError([{ path: 'transport.codec', message: `is "msgpack", which needs the package msgpackr: npm install msgpackr (${(error as Error).message})` }]);
    }
  }

  /** @throws InvalidOptionsError: too large, too deep, or nothing that can be written */
  encode(data: unknown): Encoded {
    const { codec, maxDepth } = this.options;
    if (deeperThan(data, maxDepth)) throw problem(`must not be nested deeper than ${maxDepth} (transport.maxDepth)`);
    try {
      if (codec === 'msgpack') return this.bytes(this.packer!.pack(data), codec);
      return this.checked({ text: JSON.stringify(data) ?? 'null', codec: undefined });
    } catch (error) {
      if (error instanceof InvalidOptionsError) throw error;
      throw problem(`must be something ${codec} can carry: ${(error as Error).message}`);
    }
  }

  /** What a serializer of the user's has made of a whole packet. */
  encodePacket(packet: unknown): Encoded {
    if (packet instanceof Uint8Array) return this.bytes(packet, 'bytes');
    return this.checked({ text: JSON.stringify(packet) ?? 'null', codec: 'packet' });
  }

  /** @throws UndecodableError */
  decode(data: unknown, codec: string | undefined): unknown {
    switch (codec) {
      case undefined:
      case 'packet':
        return this.shallow(data);
      case 'bytes':
        return Buffer.from(String(data), 'base64');
      case 'msgpack': {
        if (!this.packer) throw new UndecodableError('data is msgpack, and the package msgpackr is not installed here');
        return this.shallow(this.unpacked(this.packer, data));
      }
      default:
        throw new UndecodableError(`data is written in "${codec}", which is not known here`);
    }
  }

  private unpacked(packer: Packer, data: unknown): unknown {
    try {
      return packer.unpack(Buffer.from(String(data), 'base64'));
    } catch (error) {
      throw new UndecodableError(`data is no msgpack: ${(error as Error).message}`, { cause: error });
    }
  }

  private shallow(data: unknown): unknown {
    const { maxDepth } = this.options;
    if (deeperThan(data, maxDepth)) throw new UndecodableError(`data is nested deeper than ${maxDepth} (transport.maxDepth)`);
    return data;
  }

  private bytes(bytes: Uint8Array, codec: string): Encoded {
    return this.checked({ text: JSON.stringify(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')), codec });
  }

  private checked(encoded: Encoded): Encoded {
    const { maxBytes } = this.options;
    const { text } = encoded;
    // A character takes three bytes at most.
    if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) throw problem(`must be at most ${maxBytes} bytes as it travels (transport.maxBytes; got ${Buffer.byteLength(text)})`);
    return encoded;
  }
}

function problem(message: string): InvalidOptionsError {
  return new InvalidOptionsError([{ path: 'data', message }]);
}
