import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import { isRegular, isSymlink, S_IFMT } from '../vfs/mode.ts';
import { etagOf } from './conditions.ts';
import { encodeName, nameForPeople } from './path.ts';

const TYPES: ReadonlyMap<number, string> = new Map([
  [0o040000, 'directory'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
  [0o020000, 'character-device'],
  [0o060000, 'block-device'],
]);

/** An inode under one of its names, as JSON has it. Text is for people; what is `encoded` can be used in a path. */
export function describe(name: Uint8Array, attr: Attr): object {
  const { ino, mode, nlink, uid, gid, size, mtimeSec, mtimeNsec } = attr;
  const text = nameForPeople(name);
  return {
    name: text,
    encoded: encodeName(name),
    type: TYPES.get(mode & S_IFMT) ?? 'unknown',
    size,
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    mtime: new Date(mtimeSec * 1000 + Math.floor(mtimeNsec / 1e6)).toISOString(),
    ino,
    nlink,
    uid,
    gid,
    ...(isRegular(attr) ? { etag: etagOf(attr) } : {}),
    ...(isSymlink(attr) ? { target: nameForPeople(attr.symlinkTarget) } : {}),
  };
}
