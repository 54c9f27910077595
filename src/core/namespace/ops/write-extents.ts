import type {
  AppendExtents,
  Attr,
  Extent,
  OpResult,
  WriteExtents,
} from '../../../gen/ringfs/v1/namespace.ts';
import { checkedExtents, checkRegular, clipExtents, writeContent } from '../content.ts';
import type { CommitContext } from '../context.ts';
import { endOf } from '../extents.ts';
import { checkTime } from '../times.ts';
import { withoutSuidSgid } from './set-attr.ts';

/** write(2) at given offsets, and the rewriting of content by compaction. */
export function writeExtents(ctx: CommitContext, op: WriteExtents): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkRegular(attr);
  if (op.mtime !== undefined) checkTime(op.mtime);
  let extents = checkedExtents(op.extents, 0);
  if (op.keepSize) extents = clipExtents(extents, attr.size);
  const times = op.keepTimes ? {} : { ...ctx.mtime(op.mtime), ...ctx.ctime() };
  store(ctx, attr, extents, times, op.clearSuidSgid);
  return { ino: attr.ino, offset: 0 };
}

/** write(2) with O_APPEND: where the end is, is decided here. */
export function appendExtents(ctx: CommitContext, op: AppendExtents): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkRegular(attr);
  if (op.mtime !== undefined) checkTime(op.mtime);
  const extents = checkedExtents(op.extents, attr.size);
  store(ctx, attr, extents, { ...ctx.mtime(op.mtime), ...ctx.ctime() }, op.clearSuidSgid);
  return { ino: attr.ino, offset: attr.size };
}

function store(
  ctx: CommitContext,
  attr: Attr,
  extents: readonly Extent[],
  times: Partial<Attr>,
  clearSuidSgid: boolean,
): void {
  const added = writeContent(ctx.rows, ctx.index, attr.ino, extents);
  const last = extents.at(-1);
  const changes: Partial<Attr> = {
    ...times,
    size: last === undefined ? attr.size : Math.max(attr.size, endOf(last)),
    allocatedBytes: attr.allocatedBytes + added,
  };
  if (clearSuidSgid) changes.mode = withoutSuidSgid(attr.mode);
  ctx.update(attr, changes, extents.length > 0);
}
