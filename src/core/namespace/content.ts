import { assert } from '../../base/assert.ts';
import {
  BLOCK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES,
  EXTENTS_PER_CHUNK_MAX,
  FILE_SIZE_BYTES_MAX,
  INLINE_BYTES_PER_CHUNK_MAX,
  INLINE_FILE_BYTES_MAX,
} from '../../base/limits.ts';
import type { Attr, Extent } from '../../gen/ringfs/v1/namespace.ts';
import { applyBlockDelta, BLOCK_ID_BYTES } from './blocks.ts';
import { chunksBetween, forgetChunk, noteChunk } from './chunk-index.ts';
import { fail, isDirectory, isRegular } from './context.ts';
import { addToCounters } from './counters.ts';
import { chunkOf, ExtentDelta, endOf, overwrite, punch, sliceExtent, splitAtChunks } from './extents.ts';
import { chunkKey } from './keys.ts';
import { CHUNK } from './rows.ts';
import type { Rows } from './types.ts';

/** Content of regular files: chunk rows, and the block references and counters that follow from them. */

interface ChunkEdit {
  readonly index: number;
  readonly edit: (extents: readonly Extent[], delta: ExtentDelta) => readonly Extent[];
}

export function checkRegular(attr: Attr): void {
  if (isDirectory(attr)) fail('EISDIR');
  if (!isRegular(attr)) fail('EINVAL', 'not a regular file');
}

/** `extents` as they are stored: sorted, disjoint, within their blocks, `base` added to the offsets. */
export function checkedExtents(extents: readonly Extent[], base: number): Extent[] {
  const out: Extent[] = [];
  let end = 0;
  for (const extent of extents) {
    if (extent.offset < end) fail('EINVAL', 'extents are sorted and disjoint');
    if (extent.length < 1) fail('EINVAL', 'empty extent');
    end = endOf(extent);
    if (base + end > FILE_SIZE_BYTES_MAX) fail('EFBIG');
    out.push(extent.blockId.length === 0 ? checkedInline(extent, base) : checkedBlock(extent, base));
  }
  return out;
}

function checkedInline(extent: Extent, base: number): Extent {
  const { offset, length, blockId, blockOffset, blockLength } = extent;
  if (extent.inline.length !== length) fail('EINVAL', 'inline bytes are as long as the extent');
  if (length > INLINE_FILE_BYTES_MAX) fail('EINVAL', 'too long to be inline');
  if (blockOffset !== 0 || blockLength !== 0) fail('EINVAL', 'inline and in a block');
  // Copied, so that the row does not keep the whole command alive.
  return { offset: base + offset, length, blockId, blockOffset, blockLength, inline: extent.inline.slice() };
}

function checkedBlock(extent: Extent, base: number): Extent {
  const { offset, length, blockOffset, blockLength, inline } = extent;
  if (extent.blockId.length !== BLOCK_ID_BYTES) fail('EINVAL', 'not a block id');
  if (blockLength > BLOCK_SIZE_BYTES_MAX) fail('EINVAL', 'block too long');
  if (blockOffset + length > blockLength) fail('EINVAL', 'beyond the end of the block');
  if (inline.length !== 0) fail('EINVAL', 'inline and in a block');
  return {
    offset: base + offset,
    length,
    blockId: extent.blockId.slice(),
    blockOffset,
    blockLength,
    inline,
  };
}

/** The parts of `extents` before `size`. */
export function clipExtents(extents: readonly Extent[], size: number): Extent[] {
  const out: Extent[] = [];
  for (const extent of extents) {
    if (endOf(extent) <= size) out.push(extent);
    else if (extent.offset < size) out.push(sliceExtent(extent, extent.offset, size));
  }
  return out;
}

/** Replaces what checked `extents` cover. Returns the change of the inode's allocated bytes. */
export function writeContent(rows: Rows, index: number, ino: number, extents: readonly Extent[]): number {
  const edits = splitAtChunks(extents).map((chunk) => ({
    index: chunk.index,
    edit: (list: readonly Extent[], delta: ExtentDelta) => overwrite(list, chunk.extents, delta),
  }));
  return editChunks(rows, index, ino, edits);
}

/** Makes [from, to) a hole. Returns the change of the inode's allocated bytes. */
export function punchContent(rows: Rows, index: number, ino: number, from: number, to: number): number {
  if (from >= to) return 0;
  const edits = chunksBetween(rows, ino, chunkOf(from), chunkOf(to - 1)).map((chunk) => ({
    index: chunk,
    edit: (list: readonly Extent[], delta: ExtentDelta) => punch(list, from, to, delta),
  }));
  return editChunks(rows, index, ino, edits);
}

/** Makes [from, to) hold `extents`, which lie within it, and nothing else. Returns the change of the allocated bytes. */
export function replaceContent(
  rows: Rows,
  index: number,
  { ino, size }: Attr,
  from: number,
  to: number,
  extents: readonly Extent[],
): number {
  const pieces = new Map(splitAtChunks(extents).map((chunk) => [chunk.index, chunk.extents]));
  const chunks = new Set(chunksHeld(rows, ino, from, Math.min(to, size)));
  for (const chunk of pieces.keys()) chunks.add(chunk);
  const edits = [...chunks].map((chunk) => ({
    index: chunk,
    edit: (list: readonly Extent[], delta: ExtentDelta) => {
      const cleared = punch(list, from, to, delta);
      const fresh = pieces.get(chunk);
      return fresh === undefined ? cleared : overwrite(cleared, fresh, delta);
    },
  }));
  return editChunks(rows, index, ino, edits);
}

/** Up to `limit` chunks that may have extents in [from, to), in order. */
export function chunksHeld(rows: Rows, ino: number, from: number, to: number, limit?: number): number[] {
  return from >= to ? [] : chunksBetween(rows, ino, chunkOf(from), chunkOf(to - 1), limit);
}

/** All extents of these chunks, in order. */
export function extentsOf(rows: Rows, ino: number, chunks: readonly number[]): Extent[] {
  rows.require(chunks.map((chunk) => chunkKey(ino, chunk)));
  return chunks.flatMap((chunk) => rows.read(chunkKey(ino, chunk), CHUNK)?.extents ?? []);
}

/**
 * Drops up to `limit` chunk rows of a file of `size` bytes. `left` is 0 only when none is left, else a lower bound of
 * their number.
 */
export function dropChunks(
  rows: Rows,
  index: number,
  ino: number,
  size: number,
  limit: number,
): { left: number; allocatedBytes: number } {
  if (size === 0) return { left: 0, allocatedBytes: 0 };
  // Chunk 0 is listed even when it does not exist, so one more is asked for.
  const chunks = chunksBetween(rows, ino, 0, chunkOf(size - 1), limit + 2);
  rows.require(chunks.map((chunk) => chunkKey(ino, chunk)));
  const existing = chunks.filter((chunk) => rows.read(chunkKey(ino, chunk), CHUNK) !== undefined);
  const edits = existing.slice(0, limit).map((chunk) => ({
    index: chunk,
    edit: (list: readonly Extent[], delta: ExtentDelta) =>
      punch(list, chunk * CHUNK_SIZE_BYTES, (chunk + 1) * CHUNK_SIZE_BYTES, delta),
  }));
  return {
    left: existing.length - edits.length,
    allocatedBytes: editChunks(rows, index, ino, edits),
  };
}

function editChunks(rows: Rows, index: number, ino: number, edits: readonly ChunkEdit[]): number {
  const delta = new ExtentDelta();
  rows.require(edits.map((edit) => chunkKey(ino, edit.index)));
  for (const { index: chunk, edit } of edits) {
    const key = chunkKey(ino, chunk);
    const row = rows.read(key, CHUNK);
    const before = row?.extents ?? [];
    const after = edit(before, delta);
    if (after === before) continue;
    if (after.length > 0) {
      checkChunkSize(after, before);
      if (row === undefined) noteChunk(rows, index, ino, chunk);
      rows.write(key, CHUNK, { ino, index: chunk, version: index, extents: after as Extent[] });
    } else {
      assert(row !== undefined, 'only a row that exists can become empty');
      forgetChunk(rows, index, ino, chunk);
      rows.del(key);
    }
  }
  applyBlockDelta(rows, index, delta);
  addToCounters(rows, index, 0, delta.allocatedBytes);
  return delta.allocatedBytes;
}

/** A row may shrink from above a limit, but not grow beyond it. */
function checkChunkSize(after: readonly Extent[], before: readonly Extent[]): void {
  if (after.length > EXTENTS_PER_CHUNK_MAX && after.length > before.length) {
    fail('E2BIG', 'too many extents in one chunk');
  }
  const inline = inlineBytes(after);
  if (inline > INLINE_BYTES_PER_CHUNK_MAX && inline > inlineBytes(before)) {
    fail('E2BIG', 'too much inline data in one chunk');
  }
}

function inlineBytes(extents: readonly Extent[]): number {
  let sum = 0;
  for (const extent of extents) sum += extent.inline.length;
  return sum;
}
