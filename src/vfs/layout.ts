import { toHex } from '../base/bytes.ts';
import type { BlockId } from '../base/ids.ts';
import { CHUNK_SIZE_BYTES, VFS_LAYOUT_CHUNKS_MAX } from '../base/limits.ts';
import type { Extent } from '../gen/ringfs/v1/namespace.ts';

/** Where a run of file bytes is: in a block, or in `inline` itself. */
export interface MappedExtent {
  readonly offset: number;
  readonly length: number;
  readonly block: BlockId | undefined;
  readonly blockOffset: number;
  readonly inline: Uint8Array;
}

export function mapExtent(extent: Extent): MappedExtent {
  const inline = extent.blockId.length === 0;
  return {
    offset: extent.offset,
    length: extent.length,
    block: inline ? undefined : (toHex(extent.blockId) as BlockId),
    blockOffset: inline && extent.inline.length === extent.length ? 0 : extent.blockOffset,
    inline: extent.inline,
  };
}

/** The part of `extent` in [from, to), which it must overlap. */
export function clipExtent(extent: MappedExtent, from: number, to: number): MappedExtent {
  const start = Math.max(from, extent.offset);
  const end = Math.min(to, extent.offset + extent.length);
  return {
    ...extent,
    offset: start,
    length: end - start,
    blockOffset: extent.blockOffset + start - extent.offset,
  };
}

export const chunkOf = (offset: number): number => Math.floor(offset / CHUNK_SIZE_BYTES);

/**
 * The committed content of a file at one data version, as far as it has been loaded. Own commits move it forward without asking
 * the servers again.
 */
export class Layout {
  dataVersion: number;
  /** Chunks that are not in the map have no extents. */
  #complete: boolean;
  readonly #chunks = new Map<number, MappedExtent[]>();

  constructor(dataVersion: number, complete: boolean) {
    this.dataVersion = dataVersion;
    this.#complete = complete;
  }

  has(chunk: number): boolean {
    return this.#complete || this.#chunks.has(chunk);
  }

  /** The first chunk of [first, last] that is not loaded. */
  firstMissing(first: number, last: number): number | undefined {
    for (let chunk = first; chunk <= last; chunk++) if (!this.has(chunk)) return chunk;
    return undefined;
  }

  /** The first chunk from `first` on that has extents, as far as that can be told. Undefined: there is none. */
  nextChunk(first: number): number | 'unknown' | undefined {
    if (!this.#complete) {
      const extents = this.#chunks.get(first);
      return extents && extents.length > 0 ? first : 'unknown';
    }
    let next: number | undefined;
    for (const [chunk, extents] of this.#chunks) {
      if (chunk >= first && extents.length > 0 && (next === undefined || chunk < next)) next = chunk;
    }
    return next;
  }

  setChunk(chunk: number, extents: MappedExtent[]): void {
    this.#chunks.delete(chunk);
    this.#chunks.set(chunk, extents);
    this.#trim();
  }

  /** Extents that overlap [from, to), in order, clipped to it. Every chunk of the range must be loaded. */
  find(from: number, to: number): MappedExtent[] {
    const out: MappedExtent[] = [];
    for (let chunk = chunkOf(from); chunk <= chunkOf(to - 1); chunk++) {
      const extents = this.#chunks.get(chunk);
      if (!extents) continue;
      for (let i = firstEndingAfter(extents, from); i < extents.length && extents[i]!.offset < to; i++) {
        out.push(clipExtent(extents[i]!, from, to));
      }
    }
    return out;
  }

  /** Applies a write: `extents` replace what they cover. */
  write(extents: readonly MappedExtent[]): void {
    for (const extent of extents) {
      const end = extent.offset + extent.length;
      for (let chunk = chunkOf(extent.offset); chunk <= chunkOf(end - 1); chunk++) {
        if (!this.has(chunk)) continue;
        const from = Math.max(extent.offset, chunk * CHUNK_SIZE_BYTES);
        const to = Math.min(end, (chunk + 1) * CHUNK_SIZE_BYTES);
        const list = this.#chunks.get(chunk) ?? [];
        replaceRange(list, from, to, clipExtent(extent, from, to));
        this.#chunks.set(chunk, list);
      }
    }
    this.#trim();
  }

  /** Forgets everything from `size` on. */
  truncate(size: number): void {
    for (const [chunk, extents] of this.#chunks) {
      const end = (chunk + 1) * CHUNK_SIZE_BYTES;
      if (end > size) replaceRange(extents, Math.max(size, chunk * CHUNK_SIZE_BYTES), end, undefined);
    }
  }

  #trim(): void {
    while (this.#chunks.size > VFS_LAYOUT_CHUNKS_MAX) {
      const oldest = this.#chunks.keys().next().value;
      if (oldest === undefined) return;
      this.#chunks.delete(oldest);
      this.#complete = false;
    }
  }
}

function firstEndingAfter(extents: readonly MappedExtent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle]!;
    if (extent.offset + extent.length > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Cuts [from, to) out of a sorted list and puts `replacement` there. */
function replaceRange(
  list: MappedExtent[],
  from: number,
  to: number,
  replacement: MappedExtent | undefined,
): void {
  const first = firstEndingAfter(list, from);
  let last = first;
  const fresh: MappedExtent[] = [];
  const head = list[first];
  if (head && head.offset < from) fresh.push(clipExtent(head, head.offset, from));
  if (replacement) fresh.push(replacement);
  while (last < list.length && list[last]!.offset < to) {
    const extent = list[last++]!;
    const end = extent.offset + extent.length;
    if (end > to) fresh.push(clipExtent(extent, to, end));
  }
  list.splice(first, last - first, ...fresh);
}
