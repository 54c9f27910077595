import { equalBytes, toBinary } from '../../base/bytes.ts';
import { CHUNK_SIZE_BYTES, INLINE_FILE_BYTES_MAX } from '../../base/limits.ts';
import type { Extent } from '../../gen/ringfs/v1/namespace.ts';

/**
 * Interval algebra over sorted, disjoint lists of extents. Lists are never changed in place; extents are shared.
 */

/** What a change of extents does to the blocks behind them: references by block, and bytes covered. */
export class ExtentDelta {
  /** In the order of first mention, which the lists alone determine. */
  readonly blocks = new Map<string, { readonly id: Uint8Array; readonly length: number; refs: number }>();
  allocatedBytes = 0;
  /** One block was given two lengths. */
  conflict = false;

  add(extent: Extent): void {
    this.#count(extent, 1);
  }

  remove(extent: Extent): void {
    this.#count(extent, -1);
  }

  #count(extent: Extent, sign: 1 | -1): void {
    this.allocatedBytes += sign * extent.length;
    if (extent.blockId.length === 0) return;
    const key = toBinary(extent.blockId);
    const block = this.blocks.get(key);
    if (block === undefined) {
      this.blocks.set(key, { id: extent.blockId, length: extent.blockLength, refs: sign });
    } else {
      block.refs += sign;
      if (block.length !== extent.blockLength) this.conflict = true;
    }
  }
}

export const endOf = (extent: Extent): number => extent.offset + extent.length;

/** The first byte of a chunk. */
export const chunkStart = (chunk: number): number => chunk * CHUNK_SIZE_BYTES;

export const chunkOf = (offset: number): number => Math.floor(offset / CHUNK_SIZE_BYTES);

/** The part of `extent` in [from, to), which lies within it. */
export function sliceExtent(extent: Extent, from: number, to: number): Extent {
  if (from === extent.offset && to === endOf(extent)) return extent;
  const skip = from - extent.offset;
  const length = to - from;
  if (extent.blockId.length === 0) {
    return { ...extent, offset: from, length, inline: extent.inline.slice(skip, skip + length) };
  }
  return { ...extent, offset: from, length, blockOffset: extent.blockOffset + skip };
}

/** One extent for both, when `b` continues `a` in the file and in the block, or both are small enough inline. */
export function mergeExtents(a: Extent, b: Extent): Extent | undefined {
  if (endOf(a) !== b.offset || a.blockId.length !== b.blockId.length) return undefined;
  const length = a.length + b.length;
  if (a.blockId.length === 0) {
    if (length > INLINE_FILE_BYTES_MAX) return undefined;
    const inline = new Uint8Array(length);
    inline.set(a.inline);
    inline.set(b.inline, a.length);
    return { ...a, length, inline };
  }
  if (a.blockOffset + a.length !== b.blockOffset || !equalBytes(a.blockId, b.blockId)) return undefined;
  return { ...a, length };
}

/** The pieces of `extents` by chunk, in order; none crosses a chunk boundary. */
export function splitAtChunks(extents: readonly Extent[]): { index: number; extents: Extent[] }[] {
  const chunks: { index: number; extents: Extent[] }[] = [];
  for (const extent of extents) {
    for (let from = extent.offset; from < endOf(extent); ) {
      const index = chunkOf(from);
      const to = Math.min(endOf(extent), (index + 1) * CHUNK_SIZE_BYTES);
      const last = chunks.at(-1);
      const piece = sliceExtent(extent, from, to);
      if (last?.index === index) last.extents.push(piece);
      else chunks.push({ index, extents: [piece] });
      from = to;
    }
  }
  return chunks;
}

/** `list` with the bytes that `pieces` (of the same chunk) cover replaced by them. */
export function overwrite(
  list: readonly Extent[],
  pieces: readonly Extent[],
  delta: ExtentDelta,
): readonly Extent[] {
  const out = list.slice();
  for (const piece of pieces) replaceRange(out, piece.offset, endOf(piece), piece, delta);
  return out;
}

/** `list` with a hole in [from, to). The same list when nothing was there. */
export function punch(
  list: readonly Extent[],
  from: number,
  to: number,
  delta: ExtentDelta,
): readonly Extent[] {
  const first = firstEndingAfter(list, from);
  if (first === list.length || list[first]!.offset >= to) return list;
  const out = list.slice();
  replaceRange(out, from, to, undefined, delta);
  return out;
}

/** Index of the first extent that ends after `offset`; the length of the list when there is none. */
function firstEndingAfter(list: readonly Extent[], offset: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(list[middle]!) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Changes `list` in place: what [from, to) holds gives way to `piece`, then neighbours are merged. */
function replaceRange(
  list: Extent[],
  from: number,
  to: number,
  piece: Extent | undefined,
  delta: ExtentDelta,
): void {
  const first = firstEndingAfter(list, from);
  let last = first;
  while (last < list.length && list[last]!.offset < to) last++;
  // One neighbour on either side takes part, because it may merge with the piece.
  const start = Math.max(0, first - 1);
  const end = Math.min(list.length, last + 1);
  const before: Extent[] = list.slice(start, first);
  if (first < last && list[first]!.offset < from) {
    before.push(sliceExtent(list[first]!, list[first]!.offset, from));
  }
  if (piece !== undefined) before.push(piece);
  if (first < last && endOf(list[last - 1]!) > to) {
    before.push(sliceExtent(list[last - 1]!, to, endOf(list[last - 1]!)));
  }
  before.push(...list.slice(last, end));

  const after: Extent[] = [];
  for (const extent of before) {
    const previous = after.at(-1);
    const merged = previous === undefined ? undefined : mergeExtents(previous, extent);
    if (merged === undefined) after.push(extent);
    else after[after.length - 1] = merged;
  }
  for (let i = start; i < end; i++) delta.remove(list[i]!);
  for (const extent of after) delta.add(extent);
  list.splice(start, end - start, ...after);
}
