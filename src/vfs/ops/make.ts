import { defined } from '../../base/assert.ts';
import { EMPTY_BYTES } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { SYMLINK_TARGET_BYTES_MAX } from '../../base/limits.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import type { Caller } from '../../ports/file-system.ts';
import type { Committed, VfsCore } from '../core.ts';
import { S_IFLNK } from '../mode.ts';
import { checkName } from './names.ts';
import * as op from './op.ts';

export interface NewNode {
  readonly parent: Ino;
  readonly name: Uint8Array;
  /** With type. */
  readonly mode: number;
  readonly rdev?: number;
  readonly symlinkTarget?: Uint8Array;
}

/** Makes an inode and its name in one commit. */
export async function makeNode(
  core: VfsCore,
  caller: Caller,
  { parent, name, mode, rdev = 0, symlinkTarget = EMPTY_BYTES }: NewNode,
  signal?: AbortSignal,
): Promise<Attr> {
  checkName(name);
  const { uid, gid, umask = 0 } = caller;
  const node = op.makeNode({ parent, name, mode, umask, uid, gid, rdev, symlinkTarget });
  const ok = await core.commit([node], { signal });
  const attr = touchedAttr(ok, defined(ok.results[0], 'the result of MakeNode').ino);
  core.kernel.lookedUp(attr.ino);
  return attr;
}

export async function symlink(
  core: VfsCore,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  target: Uint8Array,
  signal?: AbortSignal,
): Promise<Attr> {
  if (target.length === 0) throw new FsError('ENOENT', 'empty target');
  if (target.length > SYMLINK_TARGET_BYTES_MAX) throw new FsError('ENAMETOOLONG', 'target');
  const node = { parent, name, mode: S_IFLNK | 0o777, symlinkTarget: target };
  return await makeNode(core, caller, node, signal);
}

export async function link(
  core: VfsCore,
  ino: Ino,
  parent: Ino,
  name: Uint8Array,
  signal?: AbortSignal,
): Promise<Attr> {
  checkName(name);
  const ok = await core.commit([op.link(ino, parent, name)], { signal });
  const attr = await core.view(touchedAttr(ok, ino), signal);
  core.kernel.lookedUp(ino);
  return attr;
}

/** An inode as a commit left it. */
export function touchedAttr(ok: Committed, ino: number): Attr {
  const touched = ok.touched.find(({ attr }) => attr?.ino === ino);
  return defined(touched?.attr, 'the attributes of a changed inode');
}
