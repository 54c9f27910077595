import { FILE_SIZE_BYTES_MAX } from '../../../base/limits.ts';
import type { Attr, OpResult, SetAttr } from '../../../gen/ringfs/v1/namespace.ts';
import { checkRegular, punchContent } from '../content.ts';
import { type CommitContext, fail, isDirectory, S_IFMT, S_ISGID, S_ISUID, S_IXGRP } from '../context.ts';
import { chmodAcl } from '../posix-acl.ts';
import { checkTime } from '../times.ts';
import { readAcl, writeAcl } from '../xattrs.ts';

/** chmod, chown, utimensat, truncate: what the op does not name stays. */
export function setAttr(ctx: CommitContext, op: SetAttr): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  for (const time of [op.atime, op.mtime, op.ctime]) if (time !== undefined) checkTime(time);
  const changes: Partial<Attr> = { ...ctx.ctime(op.ctime) };
  if (op.uid !== undefined) changes.uid = op.uid;
  if (op.gid !== undefined) changes.gid = op.gid;
  let mode = attr.mode;
  if (op.mode !== undefined) {
    mode = (attr.mode & S_IFMT) | (op.mode & 0o7777);
    const acl = readAcl(ctx, attr, 'access');
    if (acl !== undefined) Object.assign(changes, writeAcl(ctx, attr, 'access', chmodAcl(acl, mode)));
  }
  changes.mode = op.clearSuidSgid ? withoutSuidSgid(mode) : mode;
  if (op.atime !== undefined) {
    changes.atimeSec = op.atime.sec;
    changes.atimeNsec = op.atime.nsec;
  }
  if (op.mtime !== undefined) Object.assign(changes, ctx.mtime(op.mtime));
  if (op.size !== undefined) {
    Object.assign(changes, resize(ctx, attr, op.size));
    if (op.mtime === undefined) Object.assign(changes, ctx.mtime());
  }
  ctx.update(attr, changes, op.size !== undefined && op.size !== attr.size);
  return { ino: attr.ino, offset: 0 };
}

function resize(ctx: CommitContext, attr: Attr, size: number): Partial<Attr> {
  checkRegular(attr);
  if (size > FILE_SIZE_BYTES_MAX) fail('EFBIG');
  // No extent reaches beyond the size, so growing adds a hole and nothing else.
  const freed = punchContent(ctx.rows, ctx.index, attr.ino, size, attr.size);
  return { size, allocatedBytes: attr.allocatedBytes + freed };
}

/** A write or a chown by someone without privilege takes these bits away (write(2), chown(2)); directories keep them. */
export function withoutSuidSgid(mode: number): number {
  if (isDirectory({ mode })) return mode;
  const cleared = mode & ~S_ISUID;
  return (mode & S_IXGRP) !== 0 ? cleared & ~S_ISGID : cleared;
}
