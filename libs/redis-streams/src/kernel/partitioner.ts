import { Buffer } from 'node:buffer';
import { SHORT, writeAscii } from './characters.js';

export type PartitionerName = 'murmur2' | 'fnv1a';
/** Number of a key's partition, 0 to `partitions` - 1. Must be the same function in every process, for good. */
export type Partitioner = (key: string, partitions: number) => number;

const M = 0x5bd1e995;
let scratch = Buffer.allocUnsafe(1024);

function bytesOf(key: string): { bytes: Buffer; length: number } {
  if (key.length * 3 > scratch.length) scratch = Buffer.allocUnsafe(key.length * 3);
  return { bytes: scratch, length: key.length < SHORT && writeAscii(key, scratch, 0) ? key.length : scratch.write(key, 'utf8') };
}

/** Kafka's `Utils.murmur2`: murmur2 with seed 0x9747b28c over the key's UTF-8 bytes, as a signed 32-bit number. */
export function murmur2(key: string): number {
  const { bytes, length } = bytesOf(key);
  let h = 0x9747b28c ^ length;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    let k = Math.imul(bytes.readInt32LE(i), M);
    k = Math.imul(k ^ (k >>> 24), M);
    h = Math.imul(h, M) ^ k;
  }
  const rest = length - i;
  if (rest === 3) h ^= bytes[i + 2]! << 16;
  if (rest >= 2) h ^= bytes[i + 1]! << 8;
  if (rest >= 1) h = Math.imul(h ^ bytes[i]!, M);
  h = Math.imul(h ^ (h >>> 13), M);
  return h ^ (h >>> 15);
}

/** 32-bit FNV-1a over the key's UTF-8 bytes, unsigned: Go's `hash/fnv` New32a, which segmenter uses. */
export function fnv1a(key: string): number {
  const { bytes, length } = bytesOf(key);
  let h = 0x811c9dc5;
  for (let i = 0; i < length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}

/** Kafka's default: the hash without its sign, modulo the number of partitions. */
export const murmur2Partitioner: Partitioner = (key, partitions) => (murmur2(key) & 0x7fffffff) % partitions;

/** segmenter's: the unsigned hash modulo the number of partitions. */
export const fnv1aPartitioner: Partitioner = (key, partitions) => fnv1a(key) % partitions;

export const PARTITIONERS: Readonly<Record<PartitionerName, Partitioner>> = { murmur2: murmur2Partitioner, fnv1a: fnv1aPartitioner };
