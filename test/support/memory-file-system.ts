import { equalBytes, fromBinary, toBinary } from '../../src/base/bytes.ts';
import { FsError } from '../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import {
  FILE_SIZE_BYTES_MAX,
  LINK_COUNT_MAX,
  NAME_BYTES_MAX,
  XATTR_LIST_BYTES_MAX,
} from '../../src/base/limits.ts';
import {
  ACL_ACCESS_NAME,
  ACL_DEFAULT_NAME,
  type AclKind,
  aclKindOf,
  chmodAcl,
  formatAcl,
  inheritAcl,
  isMinimal,
  modeOf,
  parseAcl,
} from '../../src/core/namespace/posix-acl.ts';
import type { Attr } from '../../src/gen/ringfs/v1/namespace.ts';
import type { Clock, Instant } from '../../src/ports/clock.ts';
import type {
  CacheInvalidation,
  Caller,
  CopyFileEnd,
  DirectoryEntry,
  FileHandle,
  FileSystem,
  OpenResult,
  SetAttrRequest,
  SetXattrOptions,
  StatFs,
  WriteOptions,
} from '../../src/ports/file-system.ts';
import { MemoryFileContent } from './memory-file-content.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o0010;
const O_ACCMODE = 0o3;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_DIRECT = 0o40000;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** Access lists among a node's extended attributes. */
const ACL = { access: toBinary(ACL_ACCESS_NAME), default: toBinary(ACL_DEFAULT_NAME) } as const;
const NO_ACL = formatAcl([]);

interface Node {
  readonly ino: Ino;
  mode: number;
  uid: number;
  gid: number;
  readonly rdev: number;
  nlink: number;
  atime: Instant;
  mtime: Instant;
  ctime: Instant;
  readonly btime: Instant;
  version: number;
  /** Directories. */
  readonly entries: Map<string, Ino> | undefined;
  parent: Ino;
  /** Regular files. */
  readonly content: MemoryFileContent | undefined;
  readonly target: Uint8Array | undefined;
  readonly xattrs: Map<string, Uint8Array>;
  opens: number;
  lookups: number;
  /** Made without a name, and has had none yet. */
  linkable: boolean;
}

interface OpenFile {
  readonly node: Node;
  readonly flags: number;
  /** Directories: the entries as of the last read from the start. */
  snapshot: readonly (readonly [name: string, ino: Ino])[];
}

/** A FileSystem in memory, with POSIX semantics: what front ends are tested and measured on. */
export class MemoryFileSystem implements FileSystem {
  readonly #clock: Pick<Clock, 'wallTime'>;
  readonly #nodes = new Map<Ino, Node>();
  readonly #handles = new Map<FileHandle, OpenFile>();
  #nextIno = 2;
  #nextHandle = 1;
  #version = 1;
  #onInvalidate: (invalidations: readonly CacheInvalidation[]) => void = () => {};

  constructor(components: { clock: Pick<Clock, 'wallTime'> }) {
    this.#clock = components.clock;
    const now = this.#clock.wallTime();
    this.#nodes.set(ROOT_INO, {
      ...this.#blank(ROOT_INO, S_IFDIR | 0o755, { uid: 0, gid: 0 }, 0, now),
      nlink: 2,
      parent: ROOT_INO,
    });
  }

  // What tests look at --------------------------------------------------------------------------------------

  /** References that the kernel holds, over all inodes. */
  lookupCount(): number {
    let sum = 0;
    for (const node of this.#nodes.values()) sum += node.lookups;
    return sum;
  }

  openHandles(): number {
    return this.#handles.size;
  }

  inodes(): number {
    return this.#nodes.size;
  }

  /** As if another client had changed this inode. */
  invalidate(invalidations: readonly CacheInvalidation[]): void {
    this.#onInvalidate(invalidations);
  }

  // Nodes -----------------------------------------------------------------------------------------------------

  #blank(ino: Ino, mode: number, owner: { uid: number; gid: number }, rdev: number, now: Instant): Node {
    const type = mode & S_IFMT;
    return {
      ino,
      mode,
      uid: owner.uid,
      gid: owner.gid,
      rdev,
      nlink: 1,
      atime: now,
      mtime: now,
      ctime: now,
      btime: now,
      version: this.#version++,
      entries: type === S_IFDIR ? new Map() : undefined,
      parent: ROOT_INO,
      content: type === S_IFREG ? new MemoryFileContent() : undefined,
      target: undefined,
      xattrs: new Map(),
      opens: 0,
      lookups: 0,
      linkable: false,
    };
  }

  #node(ino: Ino): Node {
    const node = this.#nodes.get(ino);
    if (node === undefined) throw new FsError('ESTALE');
    return node;
  }

  #directory(ino: Ino): Node & { entries: Map<string, Ino> } {
    const node = this.#node(ino);
    if (node.entries === undefined) throw new FsError('ENOTDIR');
    return node as Node & { entries: Map<string, Ino> };
  }

  #file(ino: Ino): Node & { content: MemoryFileContent } {
    const node = this.#node(ino);
    if (node.content === undefined) throw new FsError(node.entries === undefined ? 'EINVAL' : 'EISDIR');
    return node as Node & { content: MemoryFileContent };
  }

  #open(handle: FileHandle): OpenFile {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new FsError('EBADF');
    return open;
  }

  #child(parent: Ino, name: Uint8Array): Node {
    const ino = this.#directory(parent).entries.get(toBinary(name));
    if (ino === undefined) throw new FsError('ENOENT');
    return this.#node(ino);
  }

  #attr(node: Node): Attr {
    const { atime, mtime, ctime, btime, content, target, entries } = node;
    return {
      ino: node.ino,
      mode: node.mode,
      nlink: node.nlink,
      uid: node.uid,
      gid: node.gid,
      rdev: node.rdev,
      size: content?.size ?? target?.length ?? entries?.size ?? 0,
      allocatedBytes: content?.allocatedBytes ?? 0,
      atimeSec: atime.sec,
      atimeNsec: atime.nsec,
      mtimeSec: mtime.sec,
      mtimeNsec: mtime.nsec,
      ctimeSec: ctime.sec,
      ctimeNsec: ctime.nsec,
      btimeSec: btime.sec,
      btimeNsec: btime.nsec,
      version: node.version,
      dataVersion: node.version,
      parent: entries === undefined ? 0 : node.parent,
      symlinkTarget: target ?? new Uint8Array(0),
      hasXattrs: node.xattrs.size > 0,
      hasAccessAcl: node.xattrs.has(ACL.access),
      hasDefaultAcl: node.xattrs.has(ACL.default),
    };
  }

  #referenced(node: Node): Attr {
    node.lookups++;
    return this.#attr(node);
  }

  #touch(node: Node, what: 'content' | 'attributes'): void {
    const now = this.#clock.wallTime();
    node.ctime = now;
    if (what === 'content') node.mtime = now;
    node.version = this.#version++;
  }

  #reap(node: Node): void {
    if (node.nlink === 0 && node.opens === 0 && node.lookups === 0) this.#nodes.delete(node.ino);
  }

  #make(
    caller: Caller,
    parentIno: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number,
    target?: Uint8Array,
  ): Node {
    const parent = this.#directory(parentIno);
    if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    if (parent.nlink === 0) throw new FsError('ENOENT');
    const key = toBinary(name);
    if (parent.entries.has(key)) throw new FsError('EEXIST');
    const isDir = (mode & S_IFMT) === S_IFDIR;
    const inheritsGroup = (parent.mode & S_ISGID) !== 0;
    const owner = { uid: caller.uid, gid: inheritsGroup ? parent.gid : caller.gid };
    const ino = this.#nextIno++ as Ino;
    const acls = this.#inherited(parent, mode, caller.umask ?? 0);
    const finalMode = isDir && inheritsGroup ? acls.mode | S_ISGID : acls.mode;
    const node: Node = {
      ...this.#blank(ino, finalMode, owner, rdev, this.#clock.wallTime()),
      xattrs: acls.xattrs,
      parent: parentIno,
      target: target === undefined ? undefined : Uint8Array.from(target),
      nlink: isDir ? 2 : 1,
    };
    this.#nodes.set(ino, node);
    parent.entries.set(key, ino);
    if (isDir) parent.nlink++;
    this.#touch(parent, 'content');
    return node;
  }

  /** What a new inode gets from the default access list of its directory, or from the umask. */
  #inherited(parent: Node, mode: number, umask: number): { mode: number; xattrs: Map<string, Uint8Array> } {
    const xattrs = new Map<string, Uint8Array>();
    if ((mode & S_IFMT) === S_IFLNK) return { mode, xattrs };
    const value = parent.xattrs.get(ACL.default);
    const acl = value === undefined ? undefined : parseAcl(value);
    if (value === undefined || acl === undefined) return { mode: mode & ~umask, xattrs };
    const inherited = inheritAcl(acl, mode);
    if (inherited.access !== undefined) xattrs.set(ACL.access, formatAcl(inherited.access));
    if ((mode & S_IFMT) === S_IFDIR) xattrs.set(ACL.default, value);
    return { mode: inherited.mode, xattrs };
  }

  // FileSystem: names and attributes ------------------------------------------------------------------------

  async lookup(parent: Ino, name: Uint8Array, _signal?: AbortSignal): Promise<Attr> {
    return this.#referenced(this.#child(parent, name));
  }

  forget(ino: Ino, count: number): void {
    const node = this.#nodes.get(ino);
    if (node === undefined || ino === ROOT_INO) return;
    if (count > node.lookups) throw new FsError('EINVAL', `inode ${ino} forgotten more often than looked up`);
    node.lookups -= count;
    this.#reap(node);
  }

  async getattr(ino: Ino): Promise<Attr> {
    return this.#attr(this.#node(ino));
  }

  async setattr(_caller: Caller, ino: Ino, request: SetAttrRequest): Promise<Attr> {
    const node = this.#node(ino);
    if (request.size !== undefined) this.#truncate(ino, request.size);
    if (request.mode !== undefined) {
      node.mode = (node.mode & S_IFMT) | (request.mode & 0o7777);
      const acl = parseAcl(node.xattrs.get(ACL.access) ?? NO_ACL);
      if (acl !== undefined) node.xattrs.set(ACL.access, formatAcl(chmodAcl(acl, node.mode)));
    }
    if (request.clearSuidSgid === true) this.#clearSuidSgid(node);
    node.uid = request.uid ?? node.uid;
    node.gid = request.gid ?? node.gid;
    this.#touch(node, request.size === undefined ? 'attributes' : 'content');
    if (request.atime !== undefined) node.atime = request.atime === 'now' ? node.ctime : request.atime;
    if (request.mtime !== undefined) node.mtime = request.mtime === 'now' ? node.ctime : request.mtime;
    return this.#attr(node);
  }

  #truncate(ino: Ino, size: number): void {
    const file = this.#file(ino);
    if (size > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    file.content.truncate(size);
  }

  async readlink(ino: Ino): Promise<Uint8Array> {
    const { target } = this.#node(ino);
    if (target === undefined) throw new FsError('EINVAL');
    return target;
  }

  async mknod(caller: Caller, parent: Ino, name: Uint8Array, mode: number, rdev: number): Promise<Attr> {
    return this.#referenced(this.#make(caller, parent, name, mode, rdev));
  }

  async mkdir(caller: Caller, parent: Ino, name: Uint8Array, mode: number): Promise<Attr> {
    return this.#referenced(this.#make(caller, parent, name, S_IFDIR | (mode & 0o7777), 0));
  }

  async symlink(caller: Caller, parent: Ino, name: Uint8Array, target: Uint8Array): Promise<Attr> {
    return this.#referenced(this.#make(caller, parent, name, S_IFLNK | 0o777, 0, target));
  }

  async link(ino: Ino, parentIno: Ino, name: Uint8Array): Promise<Attr> {
    const node = this.#node(ino);
    const parent = this.#directory(parentIno);
    if (node.entries !== undefined) throw new FsError('EPERM');
    if (node.nlink === 0 && !node.linkable) throw new FsError('ENOENT');
    if (node.nlink >= LINK_COUNT_MAX) throw new FsError('EMLINK');
    const key = toBinary(name);
    if (parent.entries.has(key)) throw new FsError('EEXIST');
    parent.entries.set(key, ino);
    node.nlink++;
    node.linkable = false;
    this.#touch(node, 'attributes');
    this.#touch(parent, 'content');
    return this.#referenced(node);
  }

  async unlink(parentIno: Ino, name: Uint8Array): Promise<void> {
    const node = this.#child(parentIno, name);
    if (node.entries !== undefined) throw new FsError('EISDIR');
    this.#removeEntry(parentIno, name, node);
  }

  async rmdir(parentIno: Ino, name: Uint8Array): Promise<void> {
    const node = this.#child(parentIno, name);
    if (node.entries === undefined) throw new FsError('ENOTDIR');
    if (node.entries.size > 0) throw new FsError('ENOTEMPTY');
    this.#removeEntry(parentIno, name, node);
  }

  #removeEntry(parentIno: Ino, name: Uint8Array, node: Node): void {
    const parent = this.#directory(parentIno);
    parent.entries.delete(toBinary(name));
    this.#touch(parent, 'content');
    this.#touch(node, 'attributes');
    if (node.entries === undefined) node.nlink--;
    else {
      node.nlink = 0;
      parent.nlink--;
    }
    this.#reap(node);
  }

  async rename(
    fromIno: Ino,
    name: Uint8Array,
    toIno: Ino,
    newName: Uint8Array,
    flags: number,
  ): Promise<void> {
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) throw new FsError('EINVAL');
    if (newName.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    const node = this.#child(fromIno, name);
    const to = this.#directory(toIno);
    const targetIno = to.entries.get(toBinary(newName));
    const target = targetIno === undefined ? undefined : this.#node(targetIno);
    if (this.#isWithin(toIno, node)) throw new FsError('EINVAL');
    if ((flags & RENAME_EXCHANGE) !== 0) {
      if (target === undefined) throw new FsError('ENOENT');
      if (this.#isWithin(fromIno, target)) throw new FsError('EINVAL');
      this.#attach(node, fromIno, toIno, newName);
      this.#attach(target, toIno, fromIno, name);
      return;
    }
    if (target !== undefined) {
      if ((flags & RENAME_NOREPLACE) !== 0) throw new FsError('EEXIST');
      if (target === node) return; // two names of one file: rename(2) does nothing
      if (node.entries !== undefined && target.entries === undefined) throw new FsError('ENOTDIR');
      if (node.entries === undefined && target.entries !== undefined) throw new FsError('EISDIR');
      if (target.entries !== undefined && target.entries.size > 0) throw new FsError('ENOTEMPTY');
      this.#removeEntry(toIno, newName, target);
    }
    this.#directory(fromIno).entries.delete(toBinary(name));
    this.#attach(node, fromIno, toIno, newName);
  }

  #isWithin(ino: Ino, ancestor: Node): boolean {
    for (let at = ino; ; at = this.#node(at).parent) {
      if (at === ancestor.ino) return true;
      if (at === ROOT_INO) return false;
    }
  }

  #attach(node: Node, fromIno: Ino, toIno: Ino, name: Uint8Array): void {
    const [from, to] = [this.#directory(fromIno), this.#directory(toIno)];
    to.entries.set(toBinary(name), node.ino);
    if (node.entries !== undefined && from !== to) {
      from.nlink--;
      to.nlink++;
    }
    node.parent = toIno;
    this.#touch(from, 'content');
    this.#touch(to, 'content');
    this.#touch(node, 'attributes');
  }

  // FileSystem: open files -------------------------------------------------------------------------------------

  #newHandle(node: Node, flags: number): FileHandle {
    const handle = this.#nextHandle++;
    node.opens++;
    this.#handles.set(handle, { node, flags, snapshot: [] });
    return handle;
  }

  #closeHandle(handle: FileHandle): void {
    const { node } = this.#open(handle);
    this.#handles.delete(handle);
    node.opens--;
    this.#reap(node);
  }

  async open(_caller: Caller, ino: Ino, flags: number): Promise<OpenResult> {
    const file = this.#file(ino);
    if ((flags & O_TRUNC) !== 0 && (flags & O_ACCMODE) !== 0) {
      file.content.truncate(0);
      this.#touch(file, 'content');
    }
    return {
      handle: this.#newHandle(file, flags),
      keepCache: true,
      directIo: (flags & O_DIRECT) !== 0,
      lockable: false,
    };
  }

  async create(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: number,
  ): Promise<OpenResult & { attr: Attr }> {
    const node = this.#make(caller, parent, name, S_IFREG | (mode & 0o7777), 0);
    const handle = this.#newHandle(node, flags);
    return {
      handle,
      keepCache: true,
      directIo: (flags & O_DIRECT) !== 0,
      lockable: false,
      attr: this.#referenced(node),
    };
  }

  async tmpfile(
    caller: Caller,
    parentIno: Ino,
    mode: number,
    flags: number,
  ): Promise<OpenResult & { attr: Attr }> {
    const parent = this.#directory(parentIno);
    if (parent.nlink === 0) throw new FsError('ENOENT');
    const gid = (parent.mode & S_ISGID) !== 0 ? parent.gid : caller.gid;
    const ino = this.#nextIno++ as Ino;
    const owner = { uid: caller.uid, gid };
    const node: Node = {
      ...this.#blank(ino, S_IFREG | (mode & 0o7777), owner, 0, this.#clock.wallTime()),
      nlink: 0,
      linkable: (flags & O_EXCL) === 0,
    };
    this.#nodes.set(ino, node);
    const handle = this.#newHandle(node, flags);
    const directIo = (flags & O_DIRECT) !== 0;
    return { handle, keepCache: true, directIo, lockable: false, attr: this.#referenced(node) };
  }

  async read(ino: Ino, handle: FileHandle, offset: number, length: number): Promise<readonly Uint8Array[]> {
    this.#open(handle);
    return this.#file(ino).content.read(offset, length);
  }

  async write(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    data: Uint8Array,
    _signal?: AbortSignal,
    options: WriteOptions = {},
  ): Promise<number> {
    const { flags } = this.#open(handle);
    const file = this.#file(ino);
    const append = (flags & O_APPEND) !== 0 && options.fromPageCache !== true;
    const at = append ? file.content.size : offset;
    if (at + data.length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    file.content.write(at, data);
    this.#touch(file, 'content');
    return data.length;
  }

  async seek(ino: Ino, handle: FileHandle, offset: number, whence: 'data' | 'hole'): Promise<number> {
    this.#open(handle);
    const { content } = this.#file(ino);
    const found = offset < 0 || offset >= content.size ? undefined : content.seek(offset, whence);
    if (found === undefined) throw new FsError('ENXIO');
    return found;
  }

  async fallocate(
    caller: Caller,
    ino: Ino,
    handle: FileHandle,
    mode: number,
    offset: number,
    length: number,
  ): Promise<void> {
    const file = this.#file(ino);
    if ((this.#open(handle).flags & O_ACCMODE) === 0) throw new FsError('EBADF');
    if (offset < 0 || length <= 0) throw new FsError('EINVAL');
    const known = (mode & ~FALLOC_KEEP_SIZE) === 0 || (mode & ~FALLOC_KEEP_SIZE) === FALLOC_ZERO_RANGE;
    if (!known && mode !== (FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE)) throw new FsError('EOPNOTSUPP');
    const end = offset + length;
    if (end > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    if ((mode & ~FALLOC_KEEP_SIZE) !== 0) file.content.punch(offset, Math.min(end, file.content.size));
    if ((mode & FALLOC_KEEP_SIZE) === 0) file.content.size = Math.max(file.content.size, end);
    this.#modified(caller, file);
  }

  async copyFileRange(caller: Caller, from: CopyFileEnd, to: CopyFileEnd, length: number): Promise<number> {
    const [source, target] = [this.#file(from.ino), this.#file(to.ino)];
    this.#open(from.handle);
    const { flags } = this.#open(to.handle);
    if ((flags & O_ACCMODE) === 0 || (flags & O_APPEND) !== 0) throw new FsError('EBADF');
    const asked = Math.max(0, Math.min(length, source.content.size - from.offset));
    if (asked > 0 && to.offset >= FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    const copied = Math.min(asked, FILE_SIZE_BYTES_MAX - to.offset);
    if (source === target && Math.abs(from.offset - to.offset) < asked) throw new FsError('EINVAL');
    if (copied === 0) return 0;
    target.content.copy(source.content, from.offset, to.offset, copied);
    this.#modified(caller, target);
    return copied;
  }

  #modified(caller: Caller, node: Node): void {
    if (caller.uid !== 0) this.#clearSuidSgid(node);
    this.#touch(node, 'content');
  }

  #clearSuidSgid(node: Node): void {
    node.mode &= ~S_ISUID;
    if ((node.mode & S_IXGRP) !== 0) node.mode &= ~S_ISGID;
  }

  async flush(_ino: Ino, handle: FileHandle): Promise<void> {
    this.#open(handle);
  }

  async fsync(_ino: Ino, handle: FileHandle): Promise<void> {
    this.#open(handle);
  }

  /** Mounts of it leave locks to the kernel. */
  async getlk(): Promise<undefined> {
    throw new FsError('ENOLCK');
  }

  async setlk(): Promise<void> {
    throw new FsError('ENOLCK');
  }

  async release(_ino: Ino, handle: FileHandle): Promise<void> {
    this.#closeHandle(handle);
  }

  // FileSystem: directories -------------------------------------------------------------------------------------

  async opendir(ino: Ino): Promise<FileHandle> {
    return this.#newHandle(this.#directory(ino), 0);
  }

  async readdir(
    ino: Ino,
    handle: FileHandle,
    cookie: number,
    limit: number,
    withAttrs: boolean,
  ): Promise<readonly DirectoryEntry[]> {
    const open = this.#open(handle);
    const directory = this.#directory(ino);
    if (cookie === 0) open.snapshot = [['.', ino], ['..', directory.parent], ...directory.entries];
    const out: DirectoryEntry[] = [];
    for (let i = cookie; i < open.snapshot.length && out.length < limit; i++) {
      const [name, childIno] = open.snapshot[i]!;
      const child = this.#nodes.get(childIno);
      if (child === undefined || child.nlink === 0) continue; // removed since
      const plain = { name: fromBinary(name), ino: childIno, type: child.mode & S_IFMT, cookie: i + 1 };
      out.push(withAttrs && i >= 2 ? { ...plain, attr: this.#referenced(child) } : plain);
    }
    return out;
  }

  async releasedir(_ino: Ino, handle: FileHandle): Promise<void> {
    this.#closeHandle(handle);
  }

  async fsyncdir(_ino: Ino, handle: FileHandle): Promise<void> {
    this.#open(handle);
  }

  // FileSystem: the rest -----------------------------------------------------------------------------------------

  async statfs(): Promise<StatFs> {
    return {
      blockSizeBytes: 4096,
      totalBytes: 2 ** 40,
      availableBytes: 2 ** 39,
      files: this.#nodes.size + 2 ** 32,
      filesFree: 2 ** 32,
      nameBytesMax: NAME_BYTES_MAX,
    };
  }

  async getxattr(ino: Ino, name: Uint8Array): Promise<Uint8Array> {
    const value = this.#node(ino).xattrs.get(toBinary(name));
    if (value === undefined) throw new FsError('ENODATA');
    return value;
  }

  async listxattr(ino: Ino): Promise<readonly Uint8Array[]> {
    return [...this.#node(ino).xattrs.keys()].map(fromBinary);
  }

  async setxattr(
    _caller: Caller,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    { flags, clearSgid = false }: SetXattrOptions,
  ): Promise<void> {
    const node = this.#node(ino);
    const kind = aclKindOf(name);
    if (kind !== undefined) return this.#setAcl(node, kind, value, clearSgid);
    const existing = node.xattrs.get(toBinary(name));
    const known = ['user.', 'trusted.', 'security.'].find((prefix) => toBinary(name).startsWith(prefix));
    if (known === undefined) throw new FsError('EOPNOTSUPP');
    if (name.length === known.length) throw new FsError('EINVAL');
    if (flags === 1 && existing !== undefined) throw new FsError('EEXIST');
    if (flags === 2 && existing === undefined) throw new FsError('ENODATA');
    if (existing !== undefined && equalBytes(existing, value)) return;
    const listBytes = [...node.xattrs.keys()].reduce((sum, key) => sum + key.length + 1, name.length + 1);
    if (existing === undefined && listBytes > XATTR_LIST_BYTES_MAX) throw new FsError('ENOSPC');
    node.xattrs.set(toBinary(name), Uint8Array.from(value));
    this.#touch(node, 'attributes');
  }

  #setAcl(node: Node, kind: AclKind, value: Uint8Array, clearSgid: boolean): void {
    const acl = parseAcl(value);
    if (kind === 'default' && acl !== undefined && node.entries === undefined) throw new FsError('EACCES');
    if (kind === 'access' && acl !== undefined) {
      node.mode = (node.mode & ~0o777 & ~(clearSgid ? S_ISGID : 0)) | modeOf(acl);
    }
    const kept = acl !== undefined && (kind === 'default' || !isMinimal(acl));
    if (kept) node.xattrs.set(ACL[kind], formatAcl(acl));
    else node.xattrs.delete(ACL[kind]);
    this.#touch(node, 'attributes');
  }

  async removexattr(_caller: Caller, ino: Ino, name: Uint8Array): Promise<void> {
    const node = this.#node(ino);
    if (!node.xattrs.delete(toBinary(name))) {
      if (aclKindOf(name) !== undefined) return;
      throw new FsError('ENODATA');
    }
    this.#touch(node, 'attributes');
  }

  onInvalidate(listener: (invalidations: readonly CacheInvalidation[]) => void): void {
    this.#onInvalidate = listener;
  }

  async close(): Promise<void> {}
}
