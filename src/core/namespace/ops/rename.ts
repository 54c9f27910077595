import { DIRECTORY_WALK_MAX, LINK_COUNT_MAX } from '../../../base/limits.ts';
import type { Attr, OpResult, Rename } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail, isDirectory } from '../context.ts';
import { checkName } from '../names.ts';

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** One end of a rename: a name in a directory, and the inode that it leads to. */
interface Place {
  readonly parent: number;
  readonly name: Uint8Array;
}

/** renameat2(2). The order of the checks is that of Linux's do_renameat2 and vfs_rename. */
export function rename(ctx: CommitContext, op: Rename): OpResult {
  const from: Place = { parent: ctx.resolve(op.parent), name: op.name };
  const to: Place = { parent: ctx.resolve(op.newParent), name: op.newName };
  ctx.directory(from.parent);
  const newParent = ctx.directory(to.parent);
  checkName(from.name);
  checkName(to.name);
  const exchange = op.flags === RENAME_EXCHANGE;
  if (!exchange && op.flags !== RENAME_NOREPLACE && op.flags !== 0) fail('EINVAL', 'flags');

  const source = inodeAt(ctx, from) ?? fail('ENOENT');
  const target = inodeAt(ctx, to);
  if (target !== undefined && op.flags === RENAME_NOREPLACE) fail('EEXIST');
  if (target === undefined && exchange) fail('ENOENT');
  if (target === undefined && newParent.nlink === 0) fail('ENOENT', 'the directory was removed');
  checkNoLoop(ctx, source, from.parent, to.parent);
  if (exchange && target !== undefined) checkNoLoop(ctx, target, to.parent, from.parent);
  if (target?.ino === source.ino) return { ino: source.ino, offset: 0 };

  if (target === undefined) {
    checkLinkCount(ctx, source, from.parent, to.parent);
    move(ctx, source, from, to);
  } else if (exchange) {
    swap(ctx, source, from, target, to);
  } else {
    replace(ctx, source, from, target, to);
  }
  return { ino: source.ino, offset: 0 };
}

function inodeAt(ctx: CommitContext, place: Place): Attr | undefined {
  const dentry = ctx.dentry(place.parent, place.name);
  return dentry === undefined ? undefined : ctx.inode(dentry.ino);
}

/** A directory does not move into itself or below: EINVAL. */
function checkNoLoop(ctx: CommitContext, moved: Attr, oldParent: number, newParent: number): void {
  if (!isDirectory(moved) || oldParent === newParent) return;
  if (isWithin(ctx, newParent, moved)) fail('EINVAL', 'into itself');
}

/** Whether `directory` is `ancestor` or below it. */
function isWithin(ctx: CommitContext, directory: number, ancestor: Attr): boolean {
  if (directory === ancestor.ino) return true;
  // Nothing but itself is below a directory without subdirectories: most moves need no walk.
  if (ancestor.nlink === 2) return false;
  let ino = directory;
  for (let depth = 0; depth < DIRECTORY_WALK_MAX; depth++) {
    const { parent } = ctx.directory(ino);
    if (parent === ancestor.ino) return true;
    if (parent === ino) return false;
    ino = parent;
  }
  return fail('ELOOP', 'too deep in the tree');
}

/** A directory that comes from elsewhere adds a link to its new parent. */
function checkLinkCount(ctx: CommitContext, moved: Attr, oldParent: number, newParent: number): void {
  if (!isDirectory(moved) || oldParent === newParent) return;
  if (ctx.inode(newParent).nlink >= LINK_COUNT_MAX) fail('EMLINK');
}

function move(ctx: CommitContext, source: Attr, from: Place, to: Place): void {
  const links = isDirectory(source) ? 1 : 0;
  ctx.deleteDentry(from.parent, from.name);
  ctx.updateDirectory(from.parent, -1, -links);
  ctx.putDentry(to.parent, to.name, source);
  ctx.updateDirectory(to.parent, 1, links);
  settle(ctx, source, to.parent);
}

function replace(ctx: CommitContext, source: Attr, from: Place, target: Attr, to: Place): void {
  const links = isDirectory(source) ? 1 : 0;
  if (isDirectory(source) && !isDirectory(target)) fail('ENOTDIR');
  if (!isDirectory(source) && isDirectory(target)) {
    // Linux notices first that what contains the source is not empty.
    fail(isWithin(ctx, from.parent, target) ? 'ENOTEMPTY' : 'EISDIR');
  }
  if (isDirectory(target) && target.size > 0) fail('ENOTEMPTY');
  ctx.deleteDentry(from.parent, from.name);
  ctx.updateDirectory(from.parent, -1, -links);
  ctx.putDentry(to.parent, to.name, source);
  // One subdirectory comes and one goes.
  ctx.updateDirectory(to.parent, 0, 0);
  ctx.dropLink(ctx.inode(target.ino));
  settle(ctx, source, to.parent);
}

function swap(ctx: CommitContext, source: Attr, from: Place, target: Attr, to: Place): void {
  const links = (isDirectory(source) ? 1 : 0) - (isDirectory(target) ? 1 : 0);
  if (links > 0) checkLinkCount(ctx, source, from.parent, to.parent);
  if (links < 0) checkLinkCount(ctx, target, to.parent, from.parent);
  ctx.putDentry(from.parent, from.name, target);
  ctx.updateDirectory(from.parent, 0, -links);
  ctx.putDentry(to.parent, to.name, source);
  ctx.updateDirectory(to.parent, 0, links);
  settle(ctx, source, to.parent);
  settle(ctx, target, from.parent);
}

/** The inode has arrived in `parent`. Its own row may have changed since: it may be the parent of the other end. */
function settle(ctx: CommitContext, moved: Attr, parent: number): void {
  const attr = ctx.inode(moved.ino);
  ctx.update(attr, { ...ctx.ctime(), ...(isDirectory(attr) ? { parent } : {}) }, false);
}
