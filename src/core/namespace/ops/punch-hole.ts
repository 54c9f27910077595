import type { OpResult, PunchHole } from '../../../gen/ringfs/v1/namespace.ts';
import { checkRegular, punchContent } from '../content.ts';
import { type CommitContext, fail } from '../context.ts';

/** fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE). */
export function punchHole(ctx: CommitContext, op: PunchHole): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkRegular(attr);
  if (op.length === 0) fail('EINVAL', 'empty range');
  const end = Math.min(attr.size, op.offset + op.length);
  const freed = punchContent(ctx.rows, ctx.index, attr.ino, op.offset, end);
  ctx.update(
    attr,
    { allocatedBytes: attr.allocatedBytes + freed, ...ctx.mtime(), ...ctx.ctime() },
    freed !== 0,
  );
  return { ino: attr.ino, offset: 0 };
}
