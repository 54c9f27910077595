import { createHash } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { equalBytes, fromHex, toHex } from '../../base/bytes.ts';
import { type ReadableVersions, versionRefusal } from '../../base/format-version.ts';
import type { BlockId } from '../../base/ids.ts';
import { BLOCK_SIZE_BYTES_MAX } from '../../base/limits.ts';

/** The layout of segment files. FORMAT.md describes it ("Block segments"); change both together. All integers little-endian. */

export const SEGMENT_HEADER_BYTES = 256;
export const RECORD_HEADER_BYTES = 64;
/** Records start at multiples of this, so that a scan can find the next one after a damaged region. */
export const RECORD_ALIGNMENT = 64;
export const STORE_ID_BYTES = 16;

const SEGMENT_MAGIC = 0x47455352; // "RSEG"
const RECORD_MAGIC = 0x43455252; // "RREC"
const FORMAT_VERSION = 1;
export const SEGMENT_VERSIONS: ReadableVersions = { oldest: 1, newest: FORMAT_VERSION };
const NAME_BYTES_MAX = 63;
const U32 = 0x1_0000_0000;

export const RECORD_PUT = 1;
export const RECORD_DELETE = 2;
/** Raises `uploadedAt` of the block as it is. */
export const RECORD_TOUCH = 3;
/** A put that takes the place of an older record of the same block, whose segment is going to be deleted. */
export const RECORD_MOVE = 4;
export type RecordType = typeof RECORD_PUT | typeof RECORD_DELETE | typeof RECORD_TOUCH | typeof RECORD_MOVE;

export function hasContent(type: RecordType): boolean {
  return type === RECORD_PUT || type === RECORD_MOVE;
}

export interface SegmentHeader {
  readonly segment: number;
  /** Random, one per store: part of every record's checksum, so that stored data never looks like a record. */
  readonly storeId: Uint8Array;
  /** As `storedName` makes it of the name. */
  readonly clusterId: string;
  readonly nodeId: string;
}

export interface RecordHeader {
  readonly type: RecordType;
  readonly id: BlockId;
  /** Of the content; for a delete, of the content that is forgotten. */
  readonly length: number;
  /** Commit index; 0 in a delete. */
  readonly uploadedAt: number;
}

/** Where a record lies. */
export interface RecordPosition {
  readonly segment: number;
  readonly offset: number;
}

/** Bytes that a block takes in a segment. */
export function recordSize(type: RecordType, length: number): number {
  return RECORD_HEADER_BYTES + (hasContent(type) ? alignUp(length) : 0);
}

export function alignUp(length: number): number {
  return Math.ceil(length / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  assert(header.storeId.length === STORE_ID_BYTES, 'store id length');
  const out = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(out.buffer);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  view.setUint32(8, header.segment, true);
  out.set(header.storeId, 16);
  putName(out, 32, header.clusterId);
  putName(out, 96, header.nodeId);
  view.setUint32(SEGMENT_HEADER_BYTES - 4, crc32c(out.subarray(0, SEGMENT_HEADER_BYTES - 4)), true);
  return out;
}

/** The version of a segment header that is whole and that this program does not read; undefined for all others. */
export function unknownSegmentVersion(bytes: Uint8Array): number | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER_BYTES);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  const crc = crc32c(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4));
  if (view.getUint32(SEGMENT_HEADER_BYTES - 4, true) !== crc) return undefined;
  const version = view.getUint32(4, true);
  return versionRefusal(version, SEGMENT_VERSIONS) === undefined ? undefined : version;
}

/** Undefined when these bytes are not a segment header that this version understands. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER_BYTES);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC || view.getUint32(4, true) !== FORMAT_VERSION)
    return undefined;
  const crc = crc32c(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4));
  if (view.getUint32(SEGMENT_HEADER_BYTES - 4, true) !== crc) return undefined;
  return {
    segment: view.getUint32(8, true),
    storeId: bytes.slice(16, 16 + STORE_ID_BYTES),
    clusterId: getName(bytes, 32),
    nodeId: getName(bytes, 96),
  };
}

export function encodeRecordHeader(
  storeId: Uint8Array,
  position: RecordPosition,
  record: RecordHeader,
): Uint8Array {
  assert(record.length >= 0 && record.length <= BLOCK_SIZE_BYTES_MAX, 'record length');
  assert(Number.isSafeInteger(record.uploadedAt) && record.uploadedAt >= 0, 'commit index');
  const out = new Uint8Array(RECORD_HEADER_BYTES);
  const view = new DataView(out.buffer);
  view.setUint32(0, RECORD_MAGIC, true);
  view.setUint8(4, record.type);
  view.setUint32(8, record.length, true);
  view.setUint32(12, position.segment, true);
  view.setBigUint64(16, BigInt(position.offset), true);
  out.set(fromHex(record.id), 24);
  // 53 bits in the two gaps that the layout has left.
  view.setUint32(56, record.uploadedAt % U32, true);
  const high = Math.floor(record.uploadedAt / U32);
  view.setUint8(5, high & 0xff);
  view.setUint16(6, high >>> 8, true);
  view.setUint32(60, crc32c(out.subarray(0, 60), crc32c(storeId)), true);
  return out;
}

/** Undefined unless these bytes are a whole record header that was written for this very position of this store. */
export function decodeRecordHeader(
  storeId: Uint8Array,
  position: RecordPosition,
  bytes: Uint8Array,
): RecordHeader | undefined {
  if (bytes.length < RECORD_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_HEADER_BYTES);
  if (view.getUint32(0, true) !== RECORD_MAGIC) return undefined;
  if (view.getUint32(60, true) !== crc32c(bytes.subarray(0, 60), crc32c(storeId))) return undefined;
  if (view.getUint32(12, true) !== position.segment) return undefined;
  if (view.getBigUint64(16, true) !== BigInt(position.offset)) return undefined;
  const type = view.getUint8(4);
  if (type !== RECORD_PUT && type !== RECORD_DELETE && type !== RECORD_TOUCH && type !== RECORD_MOVE)
    return undefined;
  const length = view.getUint32(8, true);
  if (length > BLOCK_SIZE_BYTES_MAX) return undefined;
  const high = view.getUint8(5) + view.getUint16(6, true) * 0x100;
  const uploadedAt = high * U32 + view.getUint32(56, true);
  return { type, length, uploadedAt, id: toHex(bytes.subarray(24, 56)) as BlockId };
}

export function sameStore(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(a, b);
}

/** What a header says for `name`: itself when it fits, else its hash. Compare with this, not with the name. */
export function storedName(name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
  return `sha256:${createHash('sha256').update(name).digest('base64url')}`;
}

function putName(out: Uint8Array, at: number, name: string): void {
  const bytes = new TextEncoder().encode(storedName(name));
  out[at] = bytes.length;
  out.set(bytes, at + 1);
}

function getName(bytes: Uint8Array, at: number): string {
  const length = Math.min(bytes[at]!, NAME_BYTES_MAX);
  return new TextDecoder().decode(bytes.subarray(at + 1, at + 1 + length));
}

const CRC_TABLE = ((): Uint32Array => {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    table[i] = c >>> 0;
  }
  return table;
})();

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4). `seed` continues an earlier checksum. Only for headers: a few bytes. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let c = ~seed >>> 0;
  for (let i = 0; i < bytes.length; i++) c = (CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8)) >>> 0;
  return ~c >>> 0;
}
