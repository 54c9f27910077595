import type { OpResult, Unlink } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail, isDirectory } from '../context.ts';
import { checkName } from '../names.ts';

/** unlink(2), with EISDIR for a directory as Linux has it. */
export function unlink(ctx: CommitContext, op: Unlink): OpResult {
  const parentIno = ctx.resolve(op.parent);
  ctx.directory(parentIno);
  checkName(op.name);
  const dentry = ctx.dentry(parentIno, op.name) ?? fail('ENOENT');
  const attr = ctx.inode(dentry.ino);
  if (isDirectory(attr)) fail('EISDIR');

  ctx.deleteDentry(parentIno, op.name);
  ctx.updateDirectory(parentIno, -1, 0);
  ctx.dropLink(attr);
  return { ino: attr.ino, offset: 0 };
}
