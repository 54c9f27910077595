import { EMPTY_BYTES } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import type { Caller, FileHandle, OpenResult } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';
import type { InodeState } from '../inode-state.ts';
import { Layout } from '../layout.ts';
import {
  isDirectory,
  isRegular,
  O_ACCMODE,
  O_APPEND,
  O_DIRECT,
  O_EXCL,
  O_RDONLY,
  O_TRUNC,
  S_IFREG,
} from '../mode.ts';
import { ReadAhead } from '../read-ahead.ts';
import type { WriteBack } from '../write-back.ts';
import { makeNode } from './make.ts';
import { truncate } from './set-attr.ts';

/** open(2) of an existing file, with attributes as fresh as the last close anywhere (close-to-open). */
export async function open(
  core: VfsCore,
  writeBack: WriteBack,
  caller: Caller,
  ino: Ino,
  flags: number,
  signal?: AbortSignal,
): Promise<OpenResult> {
  core.handles.checkRoom();
  const attr = await core.meta.getattr(ino, signal);
  if (isDirectory(attr)) throw new FsError('EISDIR');
  if (!isRegular(attr)) throw new FsError('EINVAL', 'not a regular file');
  const state = core.inodes.retain(ino, attr);
  try {
    await core.settle(state, attr, signal);
    const writable = (flags & O_ACCMODE) !== O_RDONLY;
    // Also what is empty: O_TRUNC sets the times (open(2)), which is what `: >stamp` is for.
    if ((flags & O_TRUNC) !== 0 && writable) {
      await truncate(core, writeBack, state, 0, signal);
    }
    const keepCache = core.kernel.opened(ino, state.attr.dataVersion);
    const handle = addHandle(core, caller, state, flags);
    return { handle, keepCache, directIo: (flags & O_DIRECT) !== 0, lockable: false };
  } catch (thrown) {
    state.handles--;
    core.inodes.collect(state);
    throw thrown;
  }
}

/**
 * open(2) with O_CREAT: one commit. The kernel asks for it after it found no such name; if someone was faster, EEXIST, with or
 * without O_EXCL: nobody has checked the caller's permission for what is there now.
 */
export async function create(
  core: VfsCore,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  mode: number,
  flags: number,
  signal?: AbortSignal,
): Promise<OpenResult & { attr: Attr }> {
  core.handles.checkRoom();
  const node = { parent, name, mode: S_IFREG | (mode & 0o7777) };
  return opened(core, caller, flags, await makeNode(core, caller, node, signal));
}

/**
 * open(2) with O_TMPFILE: a file without a name, in the group and with the defaults of the directory. It is gone with its last
 * close unless link(2) has given it a name, which O_EXCL forbids.
 */
export async function tmpfile(
  core: VfsCore,
  caller: Caller,
  parent: Ino,
  mode: number,
  flags: number,
  signal?: AbortSignal,
): Promise<OpenResult & { attr: Attr }> {
  core.handles.checkRoom();
  const unnamed = { linkable: (flags & O_EXCL) === 0 };
  const node = { parent, name: EMPTY_BYTES, mode: S_IFREG | (mode & 0o7777), unnamed };
  return await core.withUnnamed(async () =>
    opened(core, caller, flags, await makeNode(core, caller, node, signal)),
  );
}

/** A handle on a file that was just made. */
function opened(core: VfsCore, caller: Caller, flags: number, attr: Attr): OpenResult & { attr: Attr } {
  const state = core.inodes.retain(attr.ino as Ino, attr);
  state.layout ??= new Layout(attr.dataVersion, true);
  core.kernel.opened(attr.ino, attr.dataVersion);
  const handle = addHandle(core, caller, state, flags);
  return {
    handle,
    keepCache: false,
    directIo: (flags & O_DIRECT) !== 0,
    lockable: false,
    attr: state.view(),
  };
}

function addHandle(core: VfsCore, caller: Caller, state: InodeState, flags: number): FileHandle {
  const { blockSizeBytes, readAheadBlocksMax } = core.options;
  return core.handles.addFile({
    state,
    append: (flags & O_APPEND) !== 0,
    writable: (flags & O_ACCMODE) !== O_RDONLY,
    unprivileged: caller.uid !== 0,
    readAhead: new ReadAhead(blockSizeBytes, readAheadBlocksMax),
    errorSeen: state.errorSequence,
    locksLost: false,
  });
}
