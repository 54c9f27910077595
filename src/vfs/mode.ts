import type { Attr } from '../gen/ringfs/v1/namespace.ts';

/** Linux stat(2) and open(2) bits that the file system decides by. */
export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
const S_IXGRP = 0o0010;

export const O_ACCMODE = 0o3;
export const O_RDONLY = 0o0;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DIRECT = 0o40000;

export const isDirectory = (attr: Attr): boolean => (attr.mode & S_IFMT) === S_IFDIR;
export const isRegular = (attr: Attr): boolean => (attr.mode & S_IFMT) === S_IFREG;

/** What a write by someone without privileges leaves of the mode (inode(7): S_ISGID without S_IXGRP means something else). */
export function withoutSuidSgid(mode: number): number {
  const cleared = mode & ~S_ISUID;
  return (cleared & S_IXGRP) !== 0 ? cleared & ~S_ISGID : cleared;
}
export const isSymlink = (attr: Attr): boolean => (attr.mode & S_IFMT) === S_IFLNK;
