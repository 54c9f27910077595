import { EMPTY_BYTES } from '../../base/bytes.ts';
import { bitsFrom, hasBit, withBit, withoutBit } from './bitmap.ts';
import { chunkPageKey, chunkPagesKey } from './keys.ts';
import { BITMAP } from './rows.ts';
import type { Rows } from './types.ts';

/**
 * Which chunk rows of a file exist, so that truncating a sparse file costs what it holds and not what it could hold.
 * Two levels of bitmaps: a page says which of 1,024 chunks (64 GiB) exist, the root which pages after the first. Chunk 0
 * and page 0 are not entered anywhere, they are looked at directly: a file up to 64 MiB has no index rows, one up to
 * 64 GiB has one.
 */

const CHUNKS_PER_PAGE = 1024;

export function noteChunk(rows: Rows, index: number, ino: number, chunk: number): void {
  if (chunk === 0) return;
  const page = Math.floor(chunk / CHUNKS_PER_PAGE);
  const key = chunkPageKey(ino, page);
  const bits = bitsAt(rows, key);
  if (hasBit(bits, chunk % CHUNKS_PER_PAGE)) return;
  if (page > 0) {
    const pages = bitsAt(rows, chunkPagesKey(ino));
    if (!hasBit(pages, page)) {
      rows.write(chunkPagesKey(ino), BITMAP, { bits: withBit(pages, page), version: index });
    }
  }
  rows.write(key, BITMAP, { bits: withBit(bits, chunk % CHUNKS_PER_PAGE), version: index });
}

export function forgetChunk(rows: Rows, index: number, ino: number, chunk: number): void {
  if (chunk === 0) return;
  const page = Math.floor(chunk / CHUNKS_PER_PAGE);
  const bits = withoutBit(bitsAt(rows, chunkPageKey(ino, page)), chunk % CHUNKS_PER_PAGE);
  if (bits.length > 0) {
    rows.write(chunkPageKey(ino, page), BITMAP, { bits, version: index });
    return;
  }
  if (page > 0) {
    const pages = withoutBit(bitsAt(rows, chunkPagesKey(ino)), page);
    if (pages.length > 0) rows.write(chunkPagesKey(ino), BITMAP, { bits: pages, version: index });
    else rows.del(chunkPagesKey(ino));
  }
  rows.del(chunkPageKey(ino, page));
}

/**
 * Up to `limit` existing chunks in [first, last], in order. Chunk 0 is in the answer whenever it is in the range, whether it
 * exists or not.
 */
export function chunksBetween(
  rows: Rows,
  ino: number,
  first: number,
  last: number,
  limit: number = Number.MAX_SAFE_INTEGER,
): number[] {
  const out: number[] = [];
  if (first > last) return out;
  if (first === 0) out.push(0);
  if (last === 0) return out;
  const firstPage = Math.floor(first / CHUNKS_PER_PAGE);
  const lastPage = Math.floor(last / CHUNKS_PER_PAGE);
  const pages = firstPage === 0 ? [0] : [];
  if (lastPage > 0) {
    for (const page of bitsFrom(bitsAt(rows, chunkPagesKey(ino)), Math.max(1, firstPage))) {
      if (page <= lastPage) pages.push(page);
    }
  }
  if (limit === Number.MAX_SAFE_INTEGER) rows.require(pages.map((page) => chunkPageKey(ino, page)));
  for (const page of pages) {
    if (out.length >= limit) break;
    const base = page * CHUNKS_PER_PAGE;
    for (const bit of bitsFrom(bitsAt(rows, chunkPageKey(ino, page)), Math.max(0, first - base))) {
      if (base + bit <= last) out.push(base + bit);
    }
  }
  return out.slice(0, limit);
}

function bitsAt(rows: Rows, key: Uint8Array): Uint8Array {
  return rows.read(key, BITMAP)?.bits ?? EMPTY_BYTES;
}
