import { FsError } from '../../src/base/errno.ts';
import type { Ino } from '../../src/base/ids.ts';
import { FILE_SIZE_BYTES_MAX, READDIR_ENTRIES_MAX } from '../../src/base/limits.ts';
import type { Attr } from '../../src/gen/ringfs/v1/namespace.ts';
import type { Caller, FileHandle, FileSystem, SetAttrRequest } from '../../src/ports/file-system.ts';
import { checkSystemXattr, listedXattrs } from '../xattr-names.ts';
import type { NativeOperations } from './binding.ts';
import { PathWalker } from './path-walker.ts';
import {
  instantOf,
  type ListedStat,
  type NativeStat,
  type NativeStatfs,
  statArray,
  statfsOf,
  statOf,
} from './stat.ts';

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_RDWR = 0o2;
/** "Leave as it is" in chown(2). */
const UNCHANGED_ID = 0xffff_ffff;
/** The native side keeps descriptors in an int32, and 0 means none. */
const DESCRIPTOR_MAX = 0x7fff_ffff;

interface OpenFile {
  readonly ino: Ino;
  readonly handle: FileHandle;
}

/** What `readdir` answers: as many records as names. */
export interface Listing {
  readonly names: string[];
  readonly stats: ListedStat[];
}

/** The operations of libfuse 2.9 by path, on a FileSystem by inode. Every method throws FsError. */
export class PathOperations implements NativeOperations {
  readonly #fileSystem: FileSystem;
  readonly #walker: PathWalker;
  readonly #caller: Caller;
  readonly #open = new Map<number, OpenFile>();
  #nextDescriptor = 1;

  constructor(components: { fileSystem: FileSystem }, options: { caller: Caller }) {
    this.#fileSystem = components.fileSystem;
    this.#walker = new PathWalker(components);
    this.#caller = options.caller;
  }

  // Descriptors ---------------------------------------------------------------------------------------------

  #descriptor(open: OpenFile): number {
    while (this.#open.has(this.#nextDescriptor)) this.#advance();
    const descriptor = this.#nextDescriptor;
    this.#advance();
    this.#open.set(descriptor, open);
    return descriptor;
  }

  #advance(): void {
    this.#nextDescriptor = this.#nextDescriptor === DESCRIPTOR_MAX ? 1 : this.#nextDescriptor + 1;
  }

  #file(descriptor: number): OpenFile {
    const open = this.#open.get(descriptor);
    if (open === undefined) throw new FsError('EBADF');
    return open;
  }

  // Attributes -----------------------------------------------------------------------------------------------

  getattr(path: string): Promise<NativeStat> {
    return this.#walker.withAttr(path, async (attr) => statOf(attr));
  }

  async fgetattrArray(path: string, descriptor: number): Promise<Uint32Array> {
    const open = this.#open.get(descriptor);
    if (open === undefined) return statArray(await this.getattr(path));
    return statArray(statOf(await this.#fileSystem.getattr(open.ino, open.handle)));
  }

  async #setattr(path: string, request: SetAttrRequest): Promise<void> {
    await this.#walker.withInode(path, (ino) => this.#fileSystem.setattr(this.#caller, ino, request));
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#setattr(path, { mode: mode & 0o7777 });
  }

  chown(path: string, uid: number, gid: number): Promise<void> {
    return this.#setattr(path, {
      ...(uid !== UNCHANGED_ID && { uid }),
      ...(gid !== UNCHANGED_ID && { gid }),
    });
  }

  utimens(path: string, atimeMs: number, mtimeMs: number): Promise<void> {
    return this.#setattr(path, { atime: instantOf(atimeMs), mtime: instantOf(mtimeMs) });
  }

  async truncate(path: string, size: number): Promise<void> {
    if (size > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    await this.#setattr(path, { size });
  }

  async ftruncate(descriptor: number, size: number): Promise<void> {
    if (size > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    const { ino, handle } = this.#file(descriptor);
    await this.#fileSystem.setattr(this.#caller, ino, { size }, handle);
  }

  async statfs(): Promise<NativeStatfs> {
    return statfsOf(await this.#fileSystem.statfs());
  }

  // Names -------------------------------------------------------------------------------------------------------

  #release(attr: Attr): void {
    this.#fileSystem.forget(attr.ino as Ino, 1);
  }

  mknod(path: string, mode: number, rdev: number): Promise<void> {
    return this.#walker.withParent(path, async (parent, name) => {
      this.#release(await this.#fileSystem.mknod(this.#caller, parent, name, mode, rdev));
    });
  }

  mkdir(path: string, mode: number): Promise<void> {
    return this.#walker.withParent(path, async (parent, name) => {
      this.#release(await this.#fileSystem.mkdir(this.#caller, parent, name, mode & 0o7777));
    });
  }

  symlink(target: string, path: string): Promise<void> {
    return this.#walker.withParent(path, async (parent, name) => {
      const bytes = Buffer.from(target, 'utf8');
      this.#release(await this.#fileSystem.symlink(this.#caller, parent, name, bytes));
    });
  }

  async readlink(path: string): Promise<string> {
    const target = await this.#walker.withInode(path, (ino) => this.#fileSystem.readlink(ino));
    return Buffer.from(target).toString('utf8');
  }

  link(existing: string, path: string): Promise<void> {
    return this.#walker.withInode(existing, (ino) =>
      this.#walker.withParent(path, async (parent, name) => {
        this.#release(await this.#fileSystem.link(ino, parent, name));
      }),
    );
  }

  unlink(path: string): Promise<void> {
    return this.#walker.withParent(path, (parent, name) => this.#fileSystem.unlink(parent, name));
  }

  rmdir(path: string): Promise<void> {
    return this.#walker.withParent(path, (parent, name) => this.#fileSystem.rmdir(parent, name));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#walker.withParent(from, (parent, name) =>
      this.#walker.withParent(to, (newParent, newName) =>
        this.#fileSystem.rename(parent, name, newParent, newName, 0),
      ),
    );
  }

  // Open files --------------------------------------------------------------------------------------------------

  async open(path: string, flags: number): Promise<number> {
    return this.#walker.withInode(path, async (ino) => {
      const { handle } = await this.#fileSystem.open(this.#caller, ino, flags & ~(O_CREAT | O_EXCL));
      return this.#descriptor({ ino, handle });
    });
  }

  /** Read and write, since the flags are not passed: the kernel holds the caller to those that it asked for. */
  async create(path: string, mode: number): Promise<number> {
    return this.#walker.withParent(path, async (parent, name) => {
      const flags = O_RDWR | O_CREAT;
      const created = await this.#fileSystem
        .create(this.#caller, parent, name, mode & 0o7777, flags)
        .catch((error: unknown) => {
          // Another mount was faster. On ESTALE the kernel looks the name up again and decides itself, with the caller's
          // permissions and O_EXCL, neither of which is passed here.
          const raced = error instanceof FsError && error.code === 'EEXIST';
          throw raced ? new FsError('ESTALE', undefined, { cause: error }) : error;
        });
      this.#release(created.attr);
      return this.#descriptor({ ino: created.attr.ino as Ino, handle: created.handle });
    });
  }

  /** Fills `buffer` and returns how many bytes there were. */
  async read(descriptor: number, buffer: Uint8Array, length: number, offset: number): Promise<number> {
    if (offset >= FILE_SIZE_BYTES_MAX) return 0;
    const { ino, handle } = this.#file(descriptor);
    const pieces = await this.#fileSystem.read(ino, handle, offset, length);
    let at = 0;
    for (const piece of pieces) {
      buffer.set(piece, at);
      at += piece.length;
    }
    return at;
  }

  async write(descriptor: number, data: Uint8Array, offset: number): Promise<number> {
    if (offset + data.length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
    const { ino, handle } = this.#file(descriptor);
    return this.#fileSystem.write(ino, handle, offset, data);
  }

  async flush(descriptor: number): Promise<void> {
    const { ino, handle } = this.#file(descriptor);
    await this.#fileSystem.flush(ino, handle);
  }

  async fsync(descriptor: number, dataOnly: boolean): Promise<void> {
    const { ino, handle } = this.#file(descriptor);
    await this.#fileSystem.fsync(ino, handle, dataOnly);
  }

  async release(descriptor: number): Promise<void> {
    const { ino, handle } = this.#file(descriptor);
    this.#open.delete(descriptor);
    await this.#fileSystem.release(ino, handle);
  }

  // Directories ---------------------------------------------------------------------------------------------------

  async opendir(path: string): Promise<number> {
    return this.#walker.withInode(path, async (ino) =>
      this.#descriptor({ ino, handle: await this.#fileSystem.opendir(ino) }),
    );
  }

  /** All names at once: the package passes neither the descriptor nor a position. */
  /** Names and, of each, the record with its type, so that nobody asks for the attributes of a file only to learn what it is. */
  readdir(path: string): Promise<Listing> {
    return this.#walker.withInode(path, async (ino) => {
      const handle = await this.#fileSystem.opendir(ino);
      try {
        const names: string[] = [];
        const stats: ListedStat[] = [];
        for (let cookie = 0; ; ) {
          const entries = await this.#fileSystem.readdir(ino, handle, cookie, READDIR_ENTRIES_MAX, false);
          if (entries.length === 0) return { names, stats };
          for (const { name, ino, type } of entries) {
            names.push(Buffer.from(name).toString('utf8'));
            stats.push({ mode: type, ino });
          }
          cookie = entries.at(-1)!.cookie;
        }
      } finally {
        await this.#fileSystem.releasedir(ino, handle);
      }
    });
  }

  async releasedir(descriptor: number): Promise<void> {
    const { ino, handle } = this.#file(descriptor);
    this.#open.delete(descriptor);
    await this.#fileSystem.releasedir(ino, handle);
  }

  async fsyncdir(descriptor: number): Promise<void> {
    const { ino, handle } = this.#file(descriptor);
    await this.#fileSystem.fsyncdir(ino, handle);
  }

  // Extended attributes ---------------------------------------------------------------------------------------------

  async getxattrBytes(path: string, name: string): Promise<Uint8Array> {
    const bytes = xattrName(name);
    return this.#walker.withInode(path, (ino) => this.#fileSystem.getxattr(ino, bytes));
  }

  async listxattrBytes(path: string): Promise<readonly Uint8Array[]> {
    const names = await this.#walker.withInode(path, (ino) => this.#fileSystem.listxattr(ino));
    return listedXattrs(names, { accessLists: false, privileged: this.#caller.uid === 0 });
  }

  async setxattr(path: string, name: string, value: Uint8Array, flags: number): Promise<void> {
    const bytes = xattrName(name);
    await this.#walker.withInode(path, (ino) =>
      this.#fileSystem.setxattr(this.#caller, ino, bytes, value, { flags }),
    );
  }

  async removexattr(path: string, name: string): Promise<void> {
    const bytes = xattrName(name);
    await this.#walker.withInode(path, (ino) => this.#fileSystem.removexattr(this.#caller, ino, bytes));
  }
}

function xattrName(name: string): Uint8Array {
  const bytes = Buffer.from(name, 'utf8');
  checkSystemXattr(bytes, false);
  return bytes;
}
