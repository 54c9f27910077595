import * as zlib from 'node:zlib';
import type { ServerId } from '../../base/ids.ts';
import type { HardState } from '../../core/raft/types.ts';
import { RaftEntry, RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';

/**
 * Rows of the log store (FORMAT.md). Every value starts with the CRC-32 of its key and the rest of the value, so that a
 * value under the wrong key is as bad as a flipped bit.
 */

export class ChecksumError extends Error {
  override readonly name = 'ChecksumError';
}

/** Who wrote this data directory. */
export interface Identity {
  readonly clusterId: string;
  readonly serverId: ServerId;
  readonly formatVersion: number;
}

const TEXT = new TextEncoder();
export const IDENTITY_KEY = TEXT.encode('i');
export const HARD_STATE_KEY = TEXT.encode('h');
export const SNAPSHOT_META_KEY = TEXT.encode('s');
const ENTRY_PREFIX = 0x65; // 'e'

export function entryKey(index: number): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = ENTRY_PREFIX;
  new DataView(key.buffer).setBigUint64(1, BigInt(index));
  return key;
}

/** Keys of all entries from `first` on. */
export function entryRange(first: number): { gte: Uint8Array; lt: Uint8Array } {
  return { gte: entryKey(first), lt: Uint8Array.of(ENTRY_PREFIX + 1) };
}

export function indexOfKey(key: Uint8Array): number {
  return Number(new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(1));
}

export function seal(key: Uint8Array, content: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(4 + content.length);
  sealed.set(content, 4);
  new DataView(sealed.buffer).setUint32(0, crc32(key, content));
  return sealed;
}

/** The content of a sealed value. Throws ChecksumError. */
export function unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  if (sealed.length < 4) throw new ChecksumError('value too short');
  const content = sealed.subarray(4);
  const stored = new DataView(sealed.buffer, sealed.byteOffset).getUint32(0);
  if (stored !== crc32(key, content)) throw new ChecksumError('checksum mismatch');
  return content;
}

export function encodeEntry(entry: RaftEntry): Uint8Array {
  return RaftEntry.encode(entry).finish();
}

export function decodeEntry(content: Uint8Array): RaftEntry {
  return RaftEntry.decode(content);
}

export function encodeSnapshotMeta(meta: RaftSnapshotMeta): Uint8Array {
  return RaftSnapshotMeta.encode(meta).finish();
}

export function decodeSnapshotMeta(content: Uint8Array): RaftSnapshotMeta {
  return RaftSnapshotMeta.decode(content);
}

export function encodeHardState(state: HardState): Uint8Array {
  const { term, votedFor, commit } = state;
  return TEXT.encode(JSON.stringify({ term, votedFor: votedFor ?? '', commit }));
}

export function decodeHardState(content: Uint8Array): HardState {
  const { term, votedFor, commit } = JSON.parse(new TextDecoder().decode(content)) as HardState;
  return { term, votedFor: votedFor === '' ? undefined : votedFor, commit };
}

export function encodeIdentity(identity: Identity): Uint8Array {
  const { clusterId, serverId, formatVersion } = identity;
  return TEXT.encode(JSON.stringify({ clusterId, serverId, formatVersion }));
}

export function decodeIdentity(content: Uint8Array): Identity {
  return JSON.parse(new TextDecoder().decode(content)) as Identity;
}

type Crc = (data: Uint8Array, start?: number) => number;

/** zlib.crc32 came with Node 20.15 and is many times faster than a table in JavaScript. */
const nativeCrc = (zlib as { crc32?: Crc }).crc32;

/** CRC-32 of `key` followed by `content`. */
export function crc32(key: Uint8Array, content: Uint8Array): number {
  const crc = nativeCrc ?? tableCrc32;
  return crc(content, crc(key)) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let c = byte;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 as zlib has it (polynomial 0xedb88320, reflected). */
export function tableCrc32(data: Uint8Array, start = 0): number {
  let c = ~start;
  for (const byte of data) c = (c >>> 8) ^ CRC_TABLE[(c ^ byte) & 0xff]!;
  return ~c >>> 0;
}
