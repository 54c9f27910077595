/**
 * Numbers of the kernel's FUSE protocol, version 7 (include/uapi/linux/fuse.h).
 */

export const FUSE_MAJOR = 7;
/** The newest minor version whose messages are described here. */
export const FUSE_MINOR = 38;
/** Linux 3.15. Every message layout used here is the same from this version on. */
export const FUSE_MINOR_MIN = 23;

export const OPCODE = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

export type OpcodeName = keyof typeof OPCODE;

const OPCODE_NAMES = new Map<number, string>(Object.entries(OPCODE).map(([name, code]) => [code, name]));

export function opcodeName(opcode: number): string {
  return OPCODE_NAMES.get(opcode) ?? `opcode ${opcode}`;
}

/** Bits of the INIT exchange. */
export const INIT_FLAG = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  /** Both sides have `flags2`. */
  INIT_EXT: 1 << 30,
} as const;

/** Bits of the INIT exchange from the 33rd on. */
export const INIT_FLAG2 = {
  /** Linux 6.6: files with FOPEN_DIRECT_IO can be mapped, and what is written drops the pages that it overlaps. */
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const;

/** Bits of SETATTR's `valid`. */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** Bits of the reply to OPEN and CREATE. */
export const FOPEN = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  /** No FLUSH on close(2). Ignored by kernels before Linux 5.16. */
  NOFLUSH: 1 << 5,
} as const;

export const GETATTR_FH = 1 << 0;
export const OPEN_KILL_SUIDGID = 1 << 0;
export const WRITE_CACHE = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const SETXATTR_ACL_KILL_SGID = 1 << 0;
export const FSYNC_DATA_ONLY = 1 << 0;
export const LK_FLOCK = 1 << 0;

export const NOTIFY_INVAL_INODE = 2;

/** sizeof(struct fuse_in_header). */
export const IN_HEADER_BYTES = 40;
/** sizeof(struct fuse_out_header). */
export const OUT_HEADER_BYTES = 16;
/** The kernel refuses to read into a buffer with less room than this beside max_write. */
export const REQUEST_OVERHEAD_BYTES = 4096;
