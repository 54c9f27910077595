import { FILE_SIZE_BYTES_MAX } from '../../../base/limits.ts';
import type { Attr, Fallocate, OpResult } from '../../../gen/ringfs/v1/namespace.ts';
import { checkRegular, punchContent } from '../content.ts';
import { type CommitContext, fail } from '../context.ts';
import { withoutSuidSgid } from './set-attr.ts';

/** fallocate(2): makes a hole, or zeros, which are a hole too, and grows the file unless it is to keep its size. */
export function fallocate(ctx: CommitContext, op: Fallocate): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkRegular(attr);
  if (op.length === 0) fail('EINVAL', 'empty range');
  const end = op.offset + op.length;
  if (end > FILE_SIZE_BYTES_MAX) fail('EFBIG');
  const freed = op.punch
    ? punchContent(ctx.rows, ctx.index, attr.ino, op.offset, Math.min(attr.size, end))
    : 0;
  const size = op.keepSize ? attr.size : Math.max(attr.size, end);
  const changes: Partial<Attr> = {
    size,
    allocatedBytes: attr.allocatedBytes + freed,
    ...ctx.mtime(),
    ...ctx.ctime(),
  };
  if (op.clearSuidSgid) changes.mode = withoutSuidSgid(attr.mode);
  ctx.update(attr, changes, freed !== 0 || size !== attr.size);
  return { ino: attr.ino, offset: 0 };
}
