import type { OpResult, RemoveDir } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail, isDirectory } from '../context.ts';
import { checkName } from '../names.ts';

/** rmdir(2). */
export function removeDir(ctx: CommitContext, op: RemoveDir): OpResult {
  const parentIno = ctx.resolve(op.parent);
  ctx.directory(parentIno);
  checkName(op.name);
  const dentry = ctx.dentry(parentIno, op.name) ?? fail('ENOENT');
  const attr = ctx.inode(dentry.ino);
  if (!isDirectory(attr)) fail('ENOTDIR');
  if (attr.size > 0) fail('ENOTEMPTY');

  ctx.deleteDentry(parentIno, op.name);
  ctx.updateDirectory(parentIno, -1, -1);
  ctx.dropLink(attr);
  return { ino: attr.ino, offset: 0 };
}
