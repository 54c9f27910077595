import { XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from '../../../base/limits.ts';
import type { Attr, OpResult, RemoveXattr, SetXattr } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail, isDirectory, S_IFLNK, S_IFMT, S_ISGID } from '../context.ts';
import { type AclKind, aclKindOf, hasAcl, isMinimal, modeOf, parseAcl } from '../posix-acl.ts';
import { dropXattr, findXattr, putXattr, writeAcl } from '../xattrs.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const ALL_PERMISSIONS = 0o777;

/** setxattr(2): EEXIST, ENODATA, E2BIG for the value, ERANGE for the name, ENOSPC when the names of all would be too long. */
export function setXattr(ctx: CommitContext, op: SetXattr): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  if ((op.flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) fail('EINVAL', 'flags');
  checkXattrName(op.name);
  if (op.value.length > XATTR_VALUE_BYTES_MAX) fail('E2BIG');
  const kind = aclKindOf(op.name);
  if (kind !== undefined) return setAcl(ctx, attr, kind, op);

  const { exists } = findXattr(ctx, attr.ino, op.name);
  if (exists && (op.flags & XATTR_CREATE) !== 0) fail('EEXIST');
  if (!exists && (op.flags & XATTR_REPLACE) !== 0) fail('ENODATA');
  ctx.update(attr, { ...putXattr(ctx, attr.ino, op.name, op.value), ...ctx.ctime() }, false);
  return { ino: attr.ino, offset: 0 };
}

/**
 * An access list. As in Linux (posix_acl.c), the access list of an inode and its mode say the same: setting the list sets the
 * permission bits, and one that says no more than these is not kept. The flags of setxattr(2) mean nothing here. Throws EACCES
 * for a default list of what is no directory, EOPNOTSUPP for a symbolic link.
 */
function setAcl(ctx: CommitContext, attr: Attr, kind: AclKind, op: SetXattr): OpResult {
  if ((attr.mode & S_IFMT) === S_IFLNK) fail('EOPNOTSUPP', 'access list of a symbolic link');
  const acl = parseAcl(op.value);
  if (kind === 'default' && acl !== undefined && !isDirectory(attr)) fail('EACCES', 'default access list');
  const changes: Partial<Attr> = { ...ctx.ctime() };
  if (kind === 'access' && acl !== undefined) {
    const kept = attr.mode & ~ALL_PERMISSIONS & ~(op.clearSgid ? S_ISGID : 0);
    changes.mode = kept | modeOf(acl);
  }
  const stored = kind === 'access' && acl !== undefined && isMinimal(acl) ? undefined : acl;
  Object.assign(changes, writeAcl(ctx, attr, kind, stored));
  ctx.update(attr, changes, false);
  return { ino: attr.ino, offset: 0 };
}

/** removexattr(2). Without its access list an inode keeps its mode; to remove a list that is not there is no error in Linux. */
export function removeXattr(ctx: CommitContext, op: RemoveXattr): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkXattrName(op.name);
  const kind = aclKindOf(op.name);
  if (kind !== undefined) {
    if (hasAcl(attr, kind))
      ctx.update(attr, { ...writeAcl(ctx, attr, kind, undefined), ...ctx.ctime() }, false);
    return { ino: attr.ino, offset: 0 };
  }
  if (!findXattr(ctx, attr.ino, op.name).exists) fail('ENODATA');
  ctx.update(attr, { ...dropXattr(ctx, attr.ino, op.name), ...ctx.ctime() }, false);
  return { ino: attr.ino, offset: 0 };
}

function checkXattrName(name: Uint8Array): void {
  if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) fail('ERANGE', 'name of an attribute');
  if (name.includes(0)) fail('EINVAL', 'zero byte in the name of an attribute');
}
