import { FsError } from '../../base/errno.ts';
import { CHUNK_SIZE_BYTES, CHUNKS_PER_REPLY_MAX, VFS_READ_ATTEMPTS_MAX } from '../../base/limits.ts';
import type { VfsCore } from '../core.ts';
import { loadLayout } from '../fetch.ts';
import type { OpenFile } from '../handle-table.ts';
import type { InodeState } from '../inode-state.ts';
import { chunkOf, type Layout } from '../layout.ts';

/** First bytes of the file's chunks. */
const startOf = (chunk: number): number => chunk * CHUNK_SIZE_BYTES;

/**
 * lseek(2) with SEEK_DATA: the first byte at or after `offset` that is not in a hole, to the byte: what is unflushed counts.
 * Throws ENXIO when there is none before the end. Of a file that others change meanwhile, each part is as it was looked at.
 */
export async function seekData(
  core: VfsCore,
  file: OpenFile,
  offset: number,
  signal?: AbortSignal,
): Promise<number> {
  const { state } = file;
  await core.freshAttr(state, signal);
  let at = offset;
  for (;;) {
    const layout = await layoutAt(core, state, at, at + 1, signal);
    const size = state.size();
    if (at < 0 || at >= size) throw new FsError('ENXIO');
    // Nothing is awaited until the next call of the servers: size, unflushed bytes and extents are of one moment.
    const unflushed = state.overlay(at, size).pieces[0]?.offset ?? size;
    const chunkEnd = Math.min(startOf(chunkOf(at) + 1), state.attr.size);
    const committed = at < chunkEnd ? layout?.find(at, chunkEnd)[0]?.offset : undefined;
    const here = Math.min(unflushed, committed ?? size);
    if (here < Math.max(chunkEnd, at + 1)) return here;
    if (chunkEnd >= state.attr.size) {
      if (unflushed < size) return unflushed;
      throw new FsError('ENXIO');
    }
    const next = await nextChunk(core, state, layout, chunkOf(at) + 1, signal);
    // Looked at again from there, since anything may have changed meanwhile.
    at = Math.min(unflushed, next === undefined ? Number.POSITIVE_INFINITY : startOf(next), state.size());
  }
}

/**
 * lseek(2) with SEEK_HOLE: the first byte at or after `offset` that is in a hole; the end of the file counts as one. Throws
 * ENXIO from the end on.
 */
export async function seekHole(
  core: VfsCore,
  file: OpenFile,
  offset: number,
  signal?: AbortSignal,
): Promise<number> {
  const { state } = file;
  await core.freshAttr(state, signal);
  if (offset < 0 || offset >= state.size()) throw new FsError('ENXIO');
  let at = offset;
  for (;;) {
    const ahead = at + (CHUNKS_PER_REPLY_MAX - 1) * CHUNK_SIZE_BYTES;
    const layout = await layoutAt(core, state, at, ahead, signal);
    const size = state.size();
    if (at >= size) return size;
    const to = Math.min(startOf(chunkOf(at) + 1), size);
    const hole = firstGap(state, layout, at, to);
    if (hole !== undefined) return hole;
    at = to;
  }
}

/** The first byte of [from, to), which is within one chunk, that neither unflushed bytes nor extents cover. */
function firstGap(
  state: InodeState,
  layout: Layout | undefined,
  from: number,
  to: number,
): number | undefined {
  for (const gap of state.overlay(from, to).gaps) {
    const end = Math.min(gap.to, state.attr.size);
    let at = gap.from;
    if (at < end) {
      for (const extent of layout?.find(at, end) ?? []) {
        if (extent.offset > at) return at;
        at = extent.offset + extent.length;
      }
    }
    if (at < gap.to) return at;
  }
  return undefined;
}

/** The layout with the chunk of `at` loaded, and if it has to be loaded, those up to `ahead`. Undefined: nothing is committed there. */
async function layoutAt(
  core: VfsCore,
  state: InodeState,
  at: number,
  ahead: number,
  signal: AbortSignal | undefined,
): Promise<Layout | undefined> {
  for (let attempt = 0; attempt < VFS_READ_ATTEMPTS_MAX; attempt++) {
    if (at < 0 || at >= state.attr.size) return undefined;
    const { layout, attr } = state;
    if (layout?.dataVersion === attr.dataVersion && layout.has(chunkOf(at))) return layout;
    await loadLayout(core, state, at, Math.min(Math.max(ahead, at + 1), attr.size), signal);
  }
  throw new FsError('EIO', 'the file changes faster than it can be looked at');
}

/** The first chunk from `first` on that has extents. */
async function nextChunk(
  core: VfsCore,
  state: InodeState,
  layout: Layout | undefined,
  first: number,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const known = layout?.nextChunk(first);
  return known === 'unknown' || layout === undefined
    ? await core.meta.nextChunk(state.ino, first, signal)
    : known;
}
