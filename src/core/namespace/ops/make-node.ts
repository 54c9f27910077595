import { assert } from '../../../base/assert.ts';
import { EMPTY_BYTES } from '../../../base/bytes.ts';
import { LINK_COUNT_MAX, SYMLINK_TARGET_BYTES_MAX } from '../../../base/limits.ts';
import type { Attr, MakeNode, OpResult, Unnamed } from '../../../gen/ringfs/v1/namespace.ts';
import {
  type CommitContext,
  fail,
  isDirectory,
  isRegular,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
} from '../context.ts';
import { takeIno } from '../counters.ts';
import { checkName } from '../names.ts';
import { inheritAcl } from '../posix-acl.ts';
import { readAcl, writeAcl } from '../xattrs.ts';

const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFSOCK = 0o140000;
const TYPES: ReadonlySet<number> = new Set([S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK]);

/** open(O_CREAT|O_EXCL), mknod, mkdir, symlink: EEXIST, and the rest as mknod(2) and symlink(2) have it. */
export function makeNode(ctx: CommitContext, op: MakeNode): OpResult {
  const parentIno = ctx.resolve(op.parent);
  const parent = ctx.directory(parentIno);
  if (op.unnamed !== undefined) return makeUnnamed(ctx, op, parent, op.unnamed);
  checkName(op.name);
  checkType(op);
  if (ctx.dentry(parentIno, op.name) !== undefined) fail('EEXIST');
  if (parent.nlink === 0) fail('ENOENT', 'the directory was removed');
  const directory = isDirectory(op);
  if (directory && parent.nlink >= LINK_COUNT_MAX) fail('EMLINK');

  const attr = newInode(ctx, op, parent, takeIno(ctx.rows, ctx.index));
  ctx.insert(attr);
  if (parent.hasDefaultAcl) inheritAcls(ctx, attr, parent);
  ctx.putDentry(parentIno, op.name, attr);
  ctx.updateDirectory(parentIno, 1, directory ? 1 : 0);
  return { ino: attr.ino, offset: 0 };
}

/** open(O_TMPFILE): an orphan from birth. */
function makeUnnamed(ctx: CommitContext, op: MakeNode, parent: Attr, { linkable }: Unnamed): OpResult {
  checkType(op);
  if (!isRegular(op)) fail('EINVAL', 'only a regular file can be without a name');
  if (parent.nlink === 0) fail('ENOENT', 'the directory was removed');
  const attr: Attr = { ...newInode(ctx, op, parent, takeIno(ctx.rows, ctx.index)), nlink: 0 };
  ctx.insert(attr);
  ctx.putOrphan(attr, linkable);
  return { ino: attr.ino, offset: 0 };
}

function checkType(op: MakeNode): void {
  const type = op.mode & S_IFMT;
  if (!TYPES.has(type) || op.mode > 0o177777) fail('EINVAL', 'no such file type');
  if (type === S_IFLNK) {
    if (op.symlinkTarget.length === 0) fail('ENOENT', 'empty target');
    if (op.symlinkTarget.length > SYMLINK_TARGET_BYTES_MAX) fail('ENAMETOOLONG', 'target');
    if (op.symlinkTarget.includes(0)) fail('EINVAL', 'zero byte in target');
  } else if (op.symlinkTarget.length !== 0) {
    fail('EINVAL', 'only a symlink has a target');
  }
}

/** What the parent's default list gives to a new inode: both lists to a directory, the access list to others, none to a symlink. */
function inheritAcls(ctx: CommitContext, attr: Attr, parent: Attr): void {
  if ((attr.mode & S_IFMT) === S_IFLNK) return;
  const acl = readAcl(ctx, parent, 'default');
  assert(acl !== undefined, 'the default access list that the attributes promise');
  const { mode, access } = inheritAcl(acl, attr.mode);
  const changes: Partial<Attr> = { mode };
  if (access !== undefined) Object.assign(changes, writeAcl(ctx, attr, 'access', access));
  if (isDirectory(attr)) Object.assign(changes, writeAcl(ctx, attr, 'default', acl));
  ctx.update(attr, changes, false);
}

function newInode(ctx: CommitContext, op: MakeNode, parent: Attr, ino: number): Attr {
  const type = op.mode & S_IFMT;
  const directory = type === S_IFDIR;
  const device = type === S_IFCHR || type === S_IFBLK;
  // A set-group-ID directory hands its group down, and to directories the bit itself (inode(7)).
  const inherits = (parent.mode & S_ISGID) !== 0;
  // Where a default access list is inherited, it takes the place of the umask (umask(2)).
  let mode = parent.hasDefaultAcl ? op.mode : op.mode & ~(op.umask & 0o777);
  if (inherits && directory) mode |= S_ISGID;
  if (type === S_IFLNK) mode = S_IFLNK | 0o777;
  const { sec, nsec } = ctx.time;
  return {
    ino,
    mode,
    nlink: directory ? 2 : 1,
    uid: op.uid,
    gid: inherits ? parent.gid : op.gid,
    rdev: device ? op.rdev : 0,
    size: op.symlinkTarget.length,
    allocatedBytes: 0,
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    btimeSec: sec,
    btimeNsec: nsec,
    version: ctx.index,
    dataVersion: ctx.index,
    parent: directory ? parent.ino : 0,
    symlinkTarget: op.symlinkTarget.length === 0 ? EMPTY_BYTES : op.symlinkTarget.slice(),
    hasXattrs: false,
    hasAccessAcl: false,
    hasDefaultAcl: false,
  };
}
