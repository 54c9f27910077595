import { crc32c } from '../segments/format.ts';

/**
 * A checksum in each value, because RocksDB's iterators, as its binding makes them, do not compare those of its blocks. CRC-32C of key and
 * content, little-endian behind the content, so that a value under another key is as bad as one with a flipped bit.
 */
const SEAL_BYTES = 4;

export function sealRow(key: Uint8Array, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(content.length + SEAL_BYTES);
  out.set(content);
  new DataView(out.buffer).setUint32(content.length, crc32c(content, crc32c(key)), true);
  return out;
}

/** Undefined: it is not what was written under this key. */
export function unsealRow(key: Uint8Array, row: Uint8Array): Uint8Array | undefined {
  const length = row.length - SEAL_BYTES;
  if (length < 0) return undefined;
  const content = row.subarray(0, length);
  const seal = new DataView(row.buffer, row.byteOffset).getUint32(length, true);
  return seal === crc32c(content, crc32c(key)) ? content : undefined;
}
