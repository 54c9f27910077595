import { LINK_COUNT_MAX } from '../../../base/limits.ts';
import type { Link, OpResult } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail, isDirectory } from '../context.ts';
import { checkName } from '../names.ts';

/** link(2). An inode that has lost its last name gets no new one: ENOENT. One that never had any may get its first. */
export function link(ctx: CommitContext, op: Link): OpResult {
  const parentIno = ctx.resolve(op.parent);
  const parent = ctx.directory(parentIno);
  checkName(op.name);
  const attr = ctx.inode(ctx.resolve(op.ino));
  if (ctx.dentry(parentIno, op.name) !== undefined) fail('EEXIST');
  if (parent.nlink === 0) fail('ENOENT', 'the directory was removed');
  if (isDirectory(attr)) fail('EPERM', 'a directory has one name');
  if (attr.nlink === 0 && !ctx.adoptOrphan(attr)) fail('ENOENT', 'the inode has no name left');
  if (attr.nlink >= LINK_COUNT_MAX) fail('EMLINK');

  const linked = ctx.update(attr, { nlink: attr.nlink + 1, ...ctx.ctime() }, false);
  ctx.putDentry(parentIno, op.name, linked);
  ctx.updateDirectory(parentIno, 1, 0);
  return { ino: attr.ino, offset: 0 };
}
