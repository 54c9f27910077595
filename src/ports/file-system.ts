import type { Ino } from '../base/ids.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type { Instant } from './clock.ts';

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /**
   * Where the operation creates something: the bits to take from the mode, unless the directory has a default access list.
   * Default 0, for front ends whose kernel has applied it.
   */
  readonly umask?: number;
}

/** A number that stands for an open file or directory until released. */
export type FileHandle = number;

export interface SetAttrRequest {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Instant | 'now';
  readonly mtime?: Instant | 'now';
  readonly ctime?: Instant;
  /** Set when the kernel asks for the clearing of setuid and setgid bits with this change. */
  readonly clearSuidSgid?: boolean;
}

export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly ino: Ino;
  /** S_IFMT bits. */
  readonly type: number;
  /** Position from which the entry after this one is read; never 0. */
  readonly cookie: number;
  /** Present when asked for (readdirplus); not for `.` and `..`. */
  readonly attr?: Attr;
}

export interface StatFs {
  readonly blockSizeBytes: number;
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameBytesMax: number;
}

export interface WriteOptions {
  /** The kernel writes back pages of a mapping: at their offset also where the handle is one for appending. */
  readonly fromPageCache?: boolean;
}

export interface SetXattrOptions {
  /** XATTR_CREATE 1, XATTR_REPLACE 2. */
  readonly flags: number;
  /** The caller may not keep the set-group-ID bit when an access list is set, not being in the group (posix_acl.c in Linux). */
  readonly clearSgid?: boolean;
}

/** Who locks what, as the kernel says it. */
export interface LockRequest {
  /** The kernel's number for a process (fcntl) or an open file description (flock, F_OFD_SETLK). */
  readonly owner: bigint;
  /** flock(2), else fcntl(2). The two do not see each other. */
  readonly flock: boolean;
  readonly type: 'read' | 'write' | 'unlock';
  /** Both inclusive, up to 2^63 - 1. */
  readonly first: bigint;
  readonly last: bigint;
  readonly pid: number;
}

/** A lock that is in the way. */
export interface HeldLock {
  readonly type: 'read' | 'write';
  readonly first: bigint;
  readonly last: bigint;
  /** 0 when the process is not of this mount. */
  readonly pid: number;
}

export interface OpenResult {
  readonly handle: FileHandle;
  /** Pages that the kernel cached for this inode are still right: they need not be dropped. */
  readonly keepCache: boolean;
  /** O_DIRECT was asked for. */
  readonly directIo: boolean;
  /** The file has been locked on this mount: `flush` must tell of every close(2), for reading too. */
  readonly lockable: boolean;
}

/** Where a copy comes from or goes to. */
export interface CopyFileEnd {
  readonly ino: Ino;
  readonly handle: FileHandle;
  readonly offset: number;
}

/** The kernel's caches hold something that another client changed. */
export interface CacheInvalidation {
  readonly ino: Ino;
  /** False: attributes only. */
  readonly data: boolean;
}

/**
 * POSIX semantics by inode number. What front ends translate to. Every method throws FsError. Names are single components,
 * as bytes, never `.` or `..`. Access permissions are checked by the kernel (default_permissions) before a call arrives.
 * An inode number that `lookup`, `create`, `mknod`, `mkdir`, `symlink`, `link` or a readdirplus entry returned counts as referenced
 * until `forget`.
 */
export interface FileSystem {
  lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr>;
  forget(ino: Ino, count: number): void;
  getattr(ino: Ino, handle?: FileHandle, signal?: AbortSignal): Promise<Attr>;
  setattr(
    caller: Caller,
    ino: Ino,
    request: SetAttrRequest,
    handle?: FileHandle,
    signal?: AbortSignal,
  ): Promise<Attr>;
  readlink(ino: Ino, signal?: AbortSignal): Promise<Uint8Array>;
  /** `mode` has type and permission bits. */
  mknod(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number,
    signal?: AbortSignal,
  ): Promise<Attr>;
  mkdir(caller: Caller, parent: Ino, name: Uint8Array, mode: number, signal?: AbortSignal): Promise<Attr>;
  symlink(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    target: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Attr>;
  link(ino: Ino, parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr>;
  unlink(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void>;
  rmdir(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename(
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void>;

  /** `flags`: the Linux open flags without O_CREAT and O_EXCL; O_TRUNC is honoured here. */
  open(caller: Caller, ino: Ino, flags: number, signal?: AbortSignal): Promise<OpenResult>;
  /** Makes the file or throws EEXIST, whether `flags` has O_EXCL or not: what exists is for the kernel to look up and check. */
  create(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<OpenResult & { attr: Attr }>;
  /**
   * A file without a name (O_TMPFILE), open. `parent` gives it its group and is not changed. `link` may give it a name unless
   * `flags` has O_EXCL; without one it is gone when it is closed.
   */
  tmpfile(
    caller: Caller,
    parent: Ino,
    mode: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<OpenResult & { attr: Attr }>;
  /** Up to `length` bytes as a list of pieces, fewer only at the end of the file. The pieces must not be changed. */
  read(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
  /** Takes a copy of `data` or is done with it when it resolves. Returns the bytes written, which is all of them. */
  write(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    data: Uint8Array,
    signal?: AbortSignal,
    options?: WriteOptions,
  ): Promise<number>;
  /** lseek(2) with SEEK_DATA or SEEK_HOLE. Throws ENXIO from the end on, and where no data follows. */
  seek(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    whence: 'data' | 'hole',
    signal?: AbortSignal,
  ): Promise<number>;
  /**
   * fallocate(2). `mode`: 0 or KEEP_SIZE (1) checks that there is room; PUNCH_HOLE (2, with KEEP_SIZE only) and ZERO_RANGE (16)
   * make zeros. Throws EOPNOTSUPP for every other mode.
   */
  fallocate(
    caller: Caller,
    ino: Ino,
    handle: FileHandle,
    mode: number,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * copy_file_range(2), by reference. Returns the bytes copied: fewer than asked for at the source's end or when it is too much
   * at once. Throws EOPNOTSUPP where the bytes have to be copied one by one.
   */
  copyFileRange(
    caller: Caller,
    from: CopyFileEnd,
    to: CopyFileEnd,
    length: number,
    signal?: AbortSignal,
  ): Promise<number>;
  /**
   * close(2) of one descriptor: everything written is durable when it resolves, and its errors are reported here. The fcntl(2)
   * locks that `lockOwner` has in the file are released.
   */
  flush(ino: Ino, handle: FileHandle, signal?: AbortSignal, lockOwner?: bigint): Promise<void>;
  fsync(ino: Ino, handle: FileHandle, dataOnly: boolean, signal?: AbortSignal): Promise<void>;
  /** F_GETLK. */
  getlk(
    ino: Ino,
    handle: FileHandle,
    request: LockRequest,
    signal?: AbortSignal,
  ): Promise<HeldLock | undefined>;
  /**
   * F_SETLK, flock(2); with `wait` F_SETLKW. Throws EAGAIN, EDEADLK, ENOLCK. When it throws EINTR nothing was locked. When it
   * resolves, reads see what was written under locks that had to be released first.
   */
  setlk(
    ino: Ino,
    handle: FileHandle,
    request: LockRequest,
    wait: boolean,
    signal?: AbortSignal,
  ): Promise<void>;
  /** The last descriptor is gone, and with it what was locked through it alone. */
  release(ino: Ino, handle: FileHandle): Promise<void>;

  opendir(ino: Ino, signal?: AbortSignal): Promise<FileHandle>;
  /** The next entries after `cookie` (0: from the start, beginning with `.` and `..`), at most `limit`; empty at the end. */
  readdir(
    ino: Ino,
    handle: FileHandle,
    cookie: number,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<readonly DirectoryEntry[]>;
  releasedir(ino: Ino, handle: FileHandle): Promise<void>;
  fsyncdir(ino: Ino, handle: FileHandle, signal?: AbortSignal): Promise<void>;

  statfs(signal?: AbortSignal): Promise<StatFs>;
  getxattr(ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  listxattr(ino: Ino, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** `system.posix_acl_access` sets the mode as well, and `system.posix_acl_default` belongs to directories (acl(5)). */
  setxattr(
    caller: Caller,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    options: SetXattrOptions,
    signal?: AbortSignal,
  ): Promise<void>;
  removexattr(caller: Caller, ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void>;

  /** Where the front end is told what the kernel must forget. At most one. `told`: resolves when the kernel knows. */
  onInvalidate(
    listener: (invalidations: readonly CacheInvalidation[]) => void,
    told?: () => Promise<void>,
  ): void;
  /** Flushes everything and closes. */
  close(): Promise<void>;
}

/** What a name led to when somebody looked. */
export interface ExpectedFile {
  readonly ino: Ino;
  /** `version` of its attributes. */
  readonly version: number;
}

/** What HTTP needs and no kernel asks for: changes that take effect only if a name still leads to what somebody has seen. */
export interface ConditionalFileSystem extends FileSystem {
  /**
   * Gives an unnamed file (`tmpfile`) the name of another file, which loses it in the same moment: whoever looks finds the old or
   * the new one. What was written to it is durable before. Throws ENOENT when there is no such name any more, EISDIR, and EAGAIN
   * when it is not what `expected` says; nothing has changed then. Counts as a lookup.
   */
  linkOver(
    ino: Ino,
    parent: Ino,
    name: Uint8Array,
    expected?: ExpectedFile,
    signal?: AbortSignal,
  ): Promise<Attr>;
  /** unlink(2) of exactly this file. Throws EAGAIN when the name is not what `expected` says. */
  unlinkExpected(parent: Ino, name: Uint8Array, expected: ExpectedFile, signal?: AbortSignal): Promise<void>;
}
