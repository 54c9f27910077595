import type { Attr } from '../../src/gen/ringfs/v1/namespace.ts';
import type { Instant } from '../../src/ports/clock.ts';
import type { StatFs } from '../../src/ports/file-system.ts';

const TWO_32 = 2 ** 32;
const PREFERRED_IO_BYTES = 64 * 1024;

function millisecondsOf(sec: number, nsec: number): number {
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1_000_000));
}

/** The other way, cut to what fuse-native can tell. */
export function instantOf(milliseconds: number): Instant {
  const sec = Math.floor(milliseconds / 1000);
  return { sec, nsec: (milliseconds - sec * 1000) * 1_000_000 };
}

export interface NativeStat {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blocks: number;
  readonly blksize: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

/** What a listing tells of an entry: libfuse passes on the type, and nothing of the rest. */
export type ListedStat = Pick<NativeStat, 'mode' | 'ino'>;

/** What the package wants from `getattr`; times in milliseconds. */
export function statOf(attr: Attr): NativeStat {
  return {
    ino: attr.ino,
    mode: attr.mode,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    rdev: attr.rdev,
    size: attr.size,
    blocks: Math.ceil(attr.allocatedBytes / 512),
    blksize: PREFERRED_IO_BYTES,
    atime: millisecondsOf(attr.atimeSec, attr.atimeNsec),
    mtime: millisecondsOf(attr.mtimeSec, attr.mtimeNsec),
    ctime: millisecondsOf(attr.ctimeSec, attr.ctimeNsec),
  };
}

/** The same in the record of the native side (populate_stat in fuse-native.c). */
export function statArray(stat: NativeStat): Uint32Array {
  const pair = (value: number): [number, number] => [value % TWO_32, Math.floor(value / TWO_32)];
  return Uint32Array.from([
    stat.mode,
    stat.uid,
    stat.gid,
    ...pair(stat.size),
    0, // st_dev
    stat.nlink,
    stat.ino % TWO_32,
    stat.rdev,
    stat.blksize,
    ...pair(stat.blocks),
    ...pair(stat.atime),
    ...pair(stat.mtime),
    ...pair(stat.ctime),
  ]);
}

export interface NativeStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly fsid: number;
  readonly flag: number;
  readonly namemax: number;
}

/** The counts have 32 bits, so a large filesystem is told in larger blocks. */
export function statfsOf(statfs: StatFs): NativeStatfs {
  let unit = statfs.blockSizeBytes;
  while (statfs.totalBytes / unit >= TWO_32) unit *= 2;
  const available = Math.floor(statfs.availableBytes / unit);
  return {
    bsize: unit,
    frsize: unit,
    blocks: Math.floor(statfs.totalBytes / unit),
    bfree: available,
    bavail: available,
    files: Math.min(statfs.files, TWO_32 - 1),
    ffree: Math.min(statfs.filesFree, TWO_32 - 1),
    favail: Math.min(statfs.filesFree, TWO_32 - 1),
    fsid: 0,
    flag: 0,
    namemax: statfs.nameBytesMax,
  };
}
