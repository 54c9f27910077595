import type { BlockId } from '../base/ids.ts';
import { CHUNKS_PER_REPLY_MAX } from '../base/limits.ts';
import type { VfsCore } from './core.ts';
import type { Piece } from './dirty-buffer.ts';
import type { InodeState } from './inode-state.ts';
import { chunkOf, Layout, type MappedExtent, mapExtent } from './layout.ts';

/** The bytes of extents, as views into blocks that are fetched at the same time. */
export async function fetchExtents(
  core: VfsCore,
  extents: readonly MappedExtent[],
  signal?: AbortSignal,
): Promise<Piece[]> {
  const wanted = new Set<BlockId>();
  for (const { block } of extents) if (block) wanted.add(block);
  const content = new Map<BlockId, Uint8Array>();
  await Promise.all([...wanted].map(async (id) => content.set(id, await core.blocks.get(id, signal))));
  return extents.map(({ offset, length, block, blockOffset, inline }) => {
    const source = block ? content.get(block)! : inline;
    return { offset, data: source.subarray(blockOffset, blockOffset + length) };
  });
}

/** Loads what is missing of the layout for [from, to). Afterwards `state.attr` is at least as new as this call. */
export async function loadLayout(
  core: VfsCore,
  state: InodeState,
  from: number,
  to: number,
  signal?: AbortSignal,
): Promise<void> {
  const last = chunkOf(to - 1);
  const current = state.layout?.dataVersion === state.attr.dataVersion ? state.layout : undefined;
  const first = current ? current.firstMissing(chunkOf(from), last) : chunkOf(from);
  if (first === undefined) return;
  const count = Math.min(last - first + 1, CHUNKS_PER_REPLY_MAX);
  const { chunks, attr } = await core.meta.getChunks(state.ino, first, count, signal);
  await core.settle(state, attr, signal);
  // What came is of one moment; it may be older than what a commit meanwhile made of the file.
  if (attr.dataVersion !== state.attr.dataVersion) return;
  if (state.layout?.dataVersion !== attr.dataVersion) state.layout = new Layout(attr.dataVersion, false);
  const layout = state.layout;
  for (let index = first; index < first + count; index++) {
    const extents = chunks.find((chunk) => chunk.index === index)?.extents ?? [];
    layout.setChunk(index, extents.map(mapExtent));
  }
}
