import { FsError } from '../base/errno.ts';
import { type Ino, ROOT_INO } from '../base/ids.ts';
import { SYMLINKS_FOLLOWED_MAX } from '../base/limits.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type { MetaService } from '../ports/meta-service.ts';
import { isDirectory, isSymlink } from '../vfs/mode.ts';
import type { TreePath } from './path.ts';

/** A name in a directory. */
export interface Entry {
  readonly parent: Ino;
  readonly name: Uint8Array;
}

/** Where a path leads. */
export interface Place {
  /** Undefined where the path ends without a name of its own: at the root, or at the `..` of a symbolic link. */
  readonly entry: Entry | undefined;
  /** Undefined: there is nothing of that name. */
  readonly attr: Attr | undefined;
}

const SLASH = 0x2f;

/**
 * Follows `path` from the root of the tree (path_resolution(7)). An absolute target of a symbolic link begins there too: nothing of
 * this machine can be reached. `followLast`: also a link that the path ends with. Throws ENOENT, ENOTDIR, ELOOP.
 */
export async function resolve(
  meta: MetaService,
  path: TreePath,
  { followLast }: { readonly followLast: boolean },
  signal: AbortSignal,
): Promise<Place> {
  const todo = [...path.names];
  let directory = await meta.getattr(ROOT_INO, signal);
  let followed = 0;
  for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
    if (isDots(name, 2)) directory = await meta.getattr(directory.parent as Ino, signal);
    if (isDots(name, 1) || isDots(name, 2)) continue;
    const entry = { parent: directory.ino as Ino, name };
    const attr = await meta.lookup(entry.parent, name, signal);
    const last = todo.length === 0;
    if (attr !== undefined && isSymlink(attr) && (!last || followLast || path.directory)) {
      if (++followed > SYMLINKS_FOLLOWED_MAX) throw new FsError('ELOOP');
      const target = attr.symlinkTarget;
      if (target[0] === SLASH) directory = await meta.getattr(ROOT_INO, signal);
      todo.unshift(...namesIn(target));
      continue;
    }
    if (last) return ending(path, entry, attr);
    if (attr === undefined) throw new FsError('ENOENT');
    if (!isDirectory(attr)) throw new FsError('ENOTDIR');
    directory = attr;
  }
  return { entry: undefined, attr: directory };
}

function ending(path: TreePath, entry: Entry, attr: Attr | undefined): Place {
  if (path.directory && attr !== undefined && !isDirectory(attr)) throw new FsError('ENOTDIR');
  return { entry, attr };
}

/** The same, of something that is there. */
export async function find(
  meta: MetaService,
  path: TreePath,
  options: { readonly followLast: boolean },
  signal: AbortSignal,
): Promise<{ readonly entry: Entry | undefined; readonly attr: Attr }> {
  const { entry, attr } = await resolve(meta, path, options, signal);
  if (attr === undefined) throw new FsError('ENOENT');
  return { entry, attr };
}

function isDots(name: Uint8Array, count: number): boolean {
  return name.length === count && name.every((byte) => byte === 0x2e);
}

/** Of a symbolic link's target, where several slashes count as one. */
function namesIn(target: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let start = 0;
  for (let i = 0; i <= target.length; i++) {
    if (i < target.length && target[i] !== SLASH) continue;
    if (i > start) names.push(target.slice(start, i));
    start = i + 1;
  }
  return names;
}
