import { assert } from '../base/assert.ts';
import { asFsError, type ErrnoName, FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { BLOCK_SIZE_BYTES_MAX, CHUNK_SIZE_BYTES, READDIR_ENTRIES_MAX } from '../base/limits.ts';
import { type RequestSnapshot, RequestStats } from '../base/request-stats.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type {
  CacheInvalidation,
  Caller,
  ConditionalFileSystem,
  CopyFileEnd,
  DirectoryEntry,
  ExpectedFile,
  FileHandle,
  HeldLock,
  LockRequest,
  OpenResult,
  SetAttrRequest,
  SetXattrOptions,
  StatFs,
  WriteOptions,
} from '../ports/file-system.ts';
import { Compactor } from './compaction.ts';
import { type VfsComponents, VfsCore } from './core.ts';
import { Locks } from './locks/locks.ts';
import { isDirectory, isSymlink, S_IFDIR } from './mode.ts';
import { copyRange } from './ops/copy-range.ts';
import { fallocate } from './ops/fallocate.ts';
import { lookup } from './ops/lookup.ts';
import { commitExpected, link, linkOver, makeNode, symlink } from './ops/make.ts';
import { checkName } from './ops/names.ts';
import * as op from './ops/op.ts';
import { create, open, tmpfile } from './ops/open.ts';
import { seekData, seekHole } from './ops/seek.ts';
import { setattr } from './ops/set-attr.ts';
import { statfs } from './ops/statfs.ts';
import { flush, fsync, release } from './ops/sync.ts';
import { write } from './ops/write.ts';
import { getxattr, listxattr, removexattr, setxattr } from './ops/xattr.ts';
import { DEFAULT_VFS_OPTIONS, type VfsOptions } from './options.ts';
import { DirectoryStream } from './readdir.ts';
import { readFile } from './reader.ts';
import { interruptible } from './wait.ts';
import { WriteBack, type WriteBackCounters } from './write-back.ts';

export interface VfsStats {
  readonly operations: readonly RequestSnapshot[];
  readonly writeBack: Readonly<WriteBackCounters>;
  readonly dirtyBytes: number;
  readonly openInodes: number;
  readonly handles: number;
  readonly knownInodes: number;
  readonly windowsCompacted: number;
}

/** Errors that say something about the system and not about the question. */
const ALARMING: ReadonlySet<ErrnoName> = new Set(['EIO', 'ETIMEDOUT', 'ENOSPC', 'ENFILE', 'ENOMEM']);

/**
 * POSIX semantics over the metadata cluster and the block ring. One method per operation; what they do is in `ops/`. The
 * services belong to whoever made them: `close` flushes and lets go of them, but does not close them.
 */
export class Vfs implements ConditionalFileSystem {
  readonly #core: VfsCore;
  readonly #compactor: Compactor;
  readonly #writeBack: WriteBack;
  readonly #locks: Locks;
  readonly #stats = new RequestStats();
  #closing: Promise<void> | undefined;

  constructor(components: VfsComponents, options: Partial<VfsOptions> = {}) {
    const all = { ...DEFAULT_VFS_OPTIONS, ...options };
    assert(CHUNK_SIZE_BYTES % all.blockSizeBytes === 0, 'a block never crosses a chunk boundary');
    assert(all.blockSizeBytes <= BLOCK_SIZE_BYTES_MAX, 'the block size is within its limit');
    this.#core = new VfsCore(components, all);
    this.#compactor = new Compactor(this.#core);
    this.#writeBack = new WriteBack(this.#core, this.#compactor);
    this.#locks = new Locks(this.#core, this.#writeBack);
  }

  /** The one place where operations are counted, timed and their failures logged. */
  async #run<T>(name: string, ino: Ino, work: () => Promise<T>): Promise<T> {
    const { timers, logger } = this.#core;
    const startMs = timers.nowMs();
    try {
      if (this.#closing && name !== 'release' && name !== 'releasedir') throw new FsError('EIO', 'closed');
      const result = await work();
      this.#stats.note(name, timers.nowMs() - startMs, 'ok');
      return result;
    } catch (thrown) {
      const error = asFsError(thrown);
      this.#stats.note(name, timers.nowMs() - startMs, error.code);
      const fields = { op: name, ino, errno: error.code, err: error };
      if (ALARMING.has(error.code)) logger.warn(fields, 'operation failed');
      else logger.debug(fields, 'operation failed');
      throw error;
    }
  }

  stats(): VfsStats {
    return {
      operations: this.#stats.snapshot(),
      writeBack: { ...this.#writeBack.counters },
      dirtyBytes: this.#core.budget.usedBytes,
      openInodes: this.#core.inodes.size,
      handles: this.#core.handles.size,
      knownInodes: this.#core.kernel.knownInodes,
      windowsCompacted: this.#compactor.compacted,
    };
  }

  lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr> {
    return this.#run('lookup', parent, () => lookup(this.#core, parent, name, signal));
  }

  forget(ino: Ino, count: number): void {
    this.#core.kernel.forget(ino, count);
  }

  getattr(ino: Ino, _handle?: FileHandle, signal?: AbortSignal): Promise<Attr> {
    return this.#run('getattr', ino, async () =>
      this.#core.view(await this.#core.meta.getattr(ino, signal), signal),
    );
  }

  setattr(
    _caller: Caller,
    ino: Ino,
    request: SetAttrRequest,
    _handle?: FileHandle,
    signal?: AbortSignal,
  ): Promise<Attr> {
    return this.#run('setattr', ino, () => setattr(this.#core, this.#writeBack, ino, request, signal));
  }

  readlink(ino: Ino, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#run('readlink', ino, async () => {
      const attr = await this.#core.meta.getattr(ino, signal);
      if (!isSymlink(attr)) throw new FsError('EINVAL', 'not a symbolic link');
      return attr.symlinkTarget;
    });
  }

  mknod(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number,
    signal?: AbortSignal,
  ): Promise<Attr> {
    return this.#run('mknod', parent, () =>
      makeNode(this.#core, caller, { parent, name, mode, rdev }, signal),
    );
  }

  mkdir(caller: Caller, parent: Ino, name: Uint8Array, mode: number, signal?: AbortSignal): Promise<Attr> {
    const node = { parent, name, mode: S_IFDIR | (mode & 0o7777) };
    return this.#run('mkdir', parent, () => makeNode(this.#core, caller, node, signal));
  }

  symlink(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    target: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Attr> {
    return this.#run('symlink', parent, () => symlink(this.#core, caller, parent, name, target, signal));
  }

  link(ino: Ino, parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr> {
    return this.#run('link', ino, () => link(this.#core, this.#writeBack, ino, parent, name, signal));
  }

  linkOver(
    ino: Ino,
    parent: Ino,
    name: Uint8Array,
    expected?: ExpectedFile,
    signal?: AbortSignal,
  ): Promise<Attr> {
    return this.#run('link', ino, () =>
      linkOver(this.#core, this.#writeBack, ino, { parent, name }, expected, signal),
    );
  }

  unlinkExpected(parent: Ino, name: Uint8Array, expected: ExpectedFile, signal?: AbortSignal): Promise<void> {
    return this.#run('unlink', parent, async () => {
      checkName(name);
      await commitExpected(this.#core, [op.unlink(parent, name)], { parent, name }, expected, signal);
    });
  }

  unlink(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#run('unlink', parent, async () => {
      checkName(name);
      await this.#core.commit([op.unlink(parent, name)], { signal });
    });
  }

  rmdir(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#run('rmdir', parent, async () => {
      checkName(name);
      await this.#core.commit([op.removeDir(parent, name)], { signal });
    });
  }

  rename(
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#run('rename', parent, async () => {
      checkName(name);
      checkName(newName);
      await this.#core.commit([op.rename({ parent, name, newParent, newName, flags })], { signal });
    });
  }

  open(caller: Caller, ino: Ino, flags: number, signal?: AbortSignal): Promise<OpenResult> {
    return this.#run('open', ino, async () => {
      const opened = await open(this.#core, this.#writeBack, caller, ino, flags, signal);
      return this.#locks.used(ino) ? { ...opened, lockable: true } : opened;
    });
  }

  create(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<OpenResult & { attr: Attr }> {
    return this.#run('create', parent, () => create(this.#core, caller, parent, name, mode, flags, signal));
  }

  tmpfile(
    caller: Caller,
    parent: Ino,
    mode: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<OpenResult & { attr: Attr }> {
    return this.#run('tmpfile', parent, () => tmpfile(this.#core, caller, parent, mode, flags, signal));
  }

  read(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    return this.#run('read', ino, () =>
      readFile(this.#core, this.#core.handles.file(handle), offset, length, signal),
    );
  }

  write(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    data: Uint8Array,
    signal?: AbortSignal,
    options?: WriteOptions,
  ): Promise<number> {
    return this.#run('write', ino, () =>
      write(this.#core, this.#writeBack, this.#core.handles.file(handle), offset, data, signal, options),
    );
  }

  seek(
    ino: Ino,
    handle: FileHandle,
    offset: number,
    whence: 'data' | 'hole',
    signal?: AbortSignal,
  ): Promise<number> {
    const seek = whence === 'data' ? seekData : seekHole;
    return this.#run('seek', ino, () => seek(this.#core, this.#core.handles.file(handle), offset, signal));
  }

  fallocate(
    caller: Caller,
    ino: Ino,
    handle: FileHandle,
    mode: number,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const range = { mode, offset, length };
    return this.#run('fallocate', ino, () =>
      fallocate(this.#core, this.#writeBack, caller, this.#core.handles.file(handle), range, signal),
    );
  }

  copyFileRange(
    caller: Caller,
    from: CopyFileEnd,
    to: CopyFileEnd,
    length: number,
    signal?: AbortSignal,
  ): Promise<number> {
    return this.#run('copy_file_range', to.ino, () => {
      const { handles } = this.#core;
      const [source, target] = [handles.file(from.handle), handles.file(to.handle)];
      const ends = [
        { file: source, offset: from.offset },
        { file: target, offset: to.offset },
      ] as const;
      return copyRange(this.#writeBack, caller, ...ends, length, signal);
    });
  }

  flush(ino: Ino, handle: FileHandle, signal?: AbortSignal, lockOwner?: bigint): Promise<void> {
    return this.#run('flush', ino, async () => {
      const file = this.#core.handles.file(handle);
      // Begun first: the locks are given back whatever becomes of the data.
      const unlocked = lockOwner === undefined ? undefined : this.#locks.closed(file.state, lockOwner);
      await flush(this.#writeBack, file, signal);
      if (unlocked !== undefined) await interruptible(unlocked, signal);
    });
  }

  getlk(
    ino: Ino,
    handle: FileHandle,
    request: LockRequest,
    signal?: AbortSignal,
  ): Promise<HeldLock | undefined> {
    return this.#run('getlk', ino, () => this.#locks.get(handle, request, signal));
  }

  setlk(
    ino: Ino,
    handle: FileHandle,
    request: LockRequest,
    wait: boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#run('setlk', ino, () => this.#locks.set(handle, request, wait, signal));
  }

  fsync(ino: Ino, handle: FileHandle, _dataOnly: boolean, signal?: AbortSignal): Promise<void> {
    return this.#run('fsync', ino, () => fsync(this.#writeBack, this.#core.handles.file(handle), signal));
  }

  release(ino: Ino, handle: FileHandle): Promise<void> {
    return this.#run('release', ino, async () => {
      const file = this.#core.handles.removeFile(handle);
      const unlocked = this.#locks.released(ino, handle);
      await release(this.#core, this.#writeBack, file);
      await unlocked;
    });
  }

  opendir(ino: Ino, signal?: AbortSignal): Promise<FileHandle> {
    return this.#run('opendir', ino, async () => {
      const core = this.#core;
      if (!isDirectory(await core.meta.getattr(ino, signal))) throw new FsError('ENOTDIR');
      const view = (attr: Attr): Attr => core.viewNow(attr);
      const source = { meta: core.meta, changes: () => core.changes, view };
      return core.handles.addDirectory({ ino, stream: new DirectoryStream(source, ino) });
    });
  }

  readdir(
    ino: Ino,
    handle: FileHandle,
    cookie: number,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<readonly DirectoryEntry[]> {
    return this.#run('readdir', ino, async () => {
      const { stream } = this.#core.handles.directory(handle);
      const entries = await stream.read(cookie, Math.min(limit, READDIR_ENTRIES_MAX), withAttrs, signal);
      for (const { attr } of entries) if (attr) this.#core.kernel.lookedUp(attr.ino);
      return entries;
    });
  }

  releasedir(ino: Ino, handle: FileHandle): Promise<void> {
    return this.#run('releasedir', ino, async () => this.#core.handles.removeDirectory(handle));
  }

  /** A commit is durable before it is answered, so there is nothing left to do. */
  fsyncdir(ino: Ino, handle: FileHandle, _signal?: AbortSignal): Promise<void> {
    return this.#run('fsyncdir', ino, async () => void this.#core.handles.directory(handle));
  }

  statfs(signal?: AbortSignal): Promise<StatFs> {
    return this.#run('statfs', 0 as Ino, () => statfs(this.#core, signal));
  }

  getxattr(ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#run('getxattr', ino, () => getxattr(this.#core, ino, name, signal));
  }

  listxattr(ino: Ino, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#run('listxattr', ino, () => listxattr(this.#core, ino, signal));
  }

  setxattr(
    _caller: Caller,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    options: SetXattrOptions,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#run('setxattr', ino, () => setxattr(this.#core, ino, name, value, options, signal));
  }

  removexattr(_caller: Caller, ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#run('removexattr', ino, () => removexattr(this.#core, ino, name, signal));
  }

  onInvalidate(
    listener: (invalidations: readonly CacheInvalidation[]) => void,
    told?: () => Promise<void>,
  ): void {
    this.#core.kernel.onInvalidate(listener, told);
  }

  /** Resolves when nothing is dirty and no compaction runs. For tests and before a snapshot is taken. */
  async quiesce(): Promise<void> {
    await this.#writeBack.flushAll();
    await this.#compactor.idle();
  }

  /** Flushes everything, for at most the close timeout; then says in the log what is lost. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { timers, options, inodes } = this.#core;
    this.#locks.close();
    const work = async (): Promise<void> => {
      await this.#compactor.close();
      await this.#writeBack.flushAll();
      await this.#writeBack.close();
    };
    const limit = new AbortController();
    const timeout = timers.sleep(options.closeTimeoutMs, limit.signal).catch(() => undefined);
    await Promise.race([work(), timeout]);
    limit.abort();
    for (const state of inodes.dirty()) this.#core.logLoss(state, state.dropAll(), state.lastError);
  }
}
