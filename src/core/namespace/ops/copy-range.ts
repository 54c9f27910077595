import {
  COPY_CHUNKS_PER_COMMIT_MAX,
  COPY_EXTENTS_PER_COMMIT_MAX,
  COPY_INLINE_BYTES_PER_COMMIT_MAX,
  FILE_SIZE_BYTES_MAX,
} from '../../../base/limits.ts';
import type { Attr, CopyRange, Extent, OpResult } from '../../../gen/ringfs/v1/namespace.ts';
import { checkRegular, chunksHeld, extentsOf, replaceContent } from '../content.ts';
import { type CommitContext, fail } from '../context.ts';
import { chunkStart, endOf, sliceExtent } from '../extents.ts';
import type { Rows } from '../types.ts';
import { withoutSuidSgid } from './set-attr.ts';

/**
 * copy_file_range(2) between any two files, or within one if the ranges do not overlap (EINVAL): blocks get another
 * reference, holes stay holes. Copies less than asked for where the source ends, and where one commit would become too big.
 */
export function copyRange(ctx: CommitContext, op: CopyRange): OpResult {
  const target = ctx.inode(ctx.resolve(op.ino));
  const source = ctx.inode(ctx.resolve(op.source));
  checkRegular(target);
  checkRegular(source);
  const asked = Math.min(op.length, source.size - op.sourceOffset);
  if (asked <= 0) return { ino: target.ino, offset: op.offset, length: 0 };
  const room = FILE_SIZE_BYTES_MAX - op.offset;
  if (room <= 0) fail('EFBIG');
  if (target.ino === source.ino && Math.abs(op.offset - op.sourceOffset) < asked) {
    fail('EINVAL', 'the ranges overlap');
  }

  const shift = op.offset - op.sourceOffset;
  const from = op.sourceOffset;
  const piece = takeExtents(ctx.rows, source, from, from + Math.min(asked, room));
  const end = clearableEnd(ctx.rows, target, op.offset, piece.to + shift);
  const extents = shifted(piece.extents, shift, end);
  const added = replaceContent(ctx.rows, ctx.index, target, op.offset, end, extents);
  const changes: Partial<Attr> = {
    size: Math.max(target.size, end),
    allocatedBytes: target.allocatedBytes + added,
    ...ctx.mtime(),
    ...ctx.ctime(),
  };
  if (op.clearSuidSgid) changes.mode = withoutSuidSgid(target.mode);
  ctx.update(target, changes, true);
  return { ino: target.ino, offset: op.offset, length: end - op.offset };
}

/** The extents of [from, to), and how far they reach: less than `to` where a limit of one commit is met. */
function takeExtents(
  rows: Rows,
  source: Attr,
  from: number,
  to: number,
): { readonly extents: readonly Extent[]; readonly to: number } {
  const chunks = chunksHeld(rows, source.ino, from, to, COPY_CHUNKS_PER_COMMIT_MAX + 1);
  const beyond = chunks[COPY_CHUNKS_PER_COMMIT_MAX];
  const limit = beyond === undefined ? to : Math.min(to, chunkStart(beyond));
  const taken: Extent[] = [];
  let inlineBytes = 0;
  for (const extent of extentsOf(rows, source.ino, chunks.slice(0, COPY_CHUNKS_PER_COMMIT_MAX))) {
    if (endOf(extent) <= from) continue;
    if (extent.offset >= limit) break;
    inlineBytes += extent.inline.length;
    const full =
      taken.length >= COPY_EXTENTS_PER_COMMIT_MAX || inlineBytes > COPY_INLINE_BYTES_PER_COMMIT_MAX;
    if (full) return { extents: taken, to: extent.offset };
    taken.push(sliceExtent(extent, Math.max(from, extent.offset), Math.min(limit, endOf(extent))));
  }
  return { extents: taken, to: limit };
}

/** Up to where one commit may replace what the target holds from `from` on; at most `to`, and at least one chunk further. */
function clearableEnd(rows: Rows, target: Attr, from: number, to: number): number {
  const held = chunksHeld(rows, target.ino, from, Math.min(to, target.size), COPY_CHUNKS_PER_COMMIT_MAX + 2);
  const beyond = held[COPY_CHUNKS_PER_COMMIT_MAX + 1];
  return beyond === undefined ? to : Math.min(to, chunkStart(beyond));
}

/** `extents` moved by `shift`, as far as they are before `end`. */
function shifted(extents: readonly Extent[], shift: number, end: number): Extent[] {
  const out: Extent[] = [];
  for (const extent of extents) {
    const moved = { ...extent, offset: extent.offset + shift };
    if (moved.offset >= end) break;
    out.push(sliceExtent(moved, moved.offset, Math.min(end, endOf(moved))));
  }
  return out;
}
