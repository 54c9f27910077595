import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { FILE_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { Attr, SetAttr } from '../../gen/ringfs/v1/namespace.ts';
import type { Instant } from '../../ports/clock.ts';
import type { SetAttrRequest } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';
import type { InodeState } from '../inode-state.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import { touchedAttr } from './make.ts';
import * as op from './op.ts';

/** chmod, chown, utimensat, truncate in one commit, together with unflushed data where the order of the two matters. */
export async function setattr(
  core: VfsCore,
  writeBack: WriteBack,
  ino: Ino,
  request: SetAttrRequest,
  signal?: AbortSignal,
): Promise<Attr> {
  const { size } = request;
  if (size !== undefined) checkSize(size);
  const change = setAttrOf(core, ino, request);
  const state = core.inodes.get(ino);
  if (state && mustFollowData(state, request)) {
    const extra = [op.setAttr(change)];
    const flushed = writeBack.flush(state, { extra, ...(size === undefined ? {} : { truncateTo: size }) });
    await interruptible(flushed, signal);
    return state.view();
  }
  const ok = await core.commit([op.setAttr(change)], { signal });
  return await core.view(touchedAttr(ok, ino), signal);
}

export async function truncate(
  core: VfsCore,
  writeBack: WriteBack,
  state: InodeState,
  size: number,
  signal?: AbortSignal,
): Promise<void> {
  await setattr(core, writeBack, state.ino, { size }, signal);
}

/**
 * A size cuts off what was written before and not what comes after. A given mtime must not be replaced by that of data
 * flushed later, nor given setuid bits be cleared by it.
 */
function mustFollowData(state: InodeState, request: SetAttrRequest): boolean {
  if (request.size !== undefined) return true;
  if (!state.dirty) return false;
  if (request.mtime !== undefined) return true;
  return (
    request.mode !== undefined && (state.open?.clearSuidSgid || state.batches.some((b) => b.clearSuidSgid))
  );
}

function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', 'size');
  if (size > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
}

function setAttrOf(core: VfsCore, ino: Ino, request: SetAttrRequest): SetAttr {
  const { mode, uid, gid, size, atime, mtime, ctime, clearSuidSgid } = request;
  const time = (value: Instant | 'now'): Instant => (value === 'now' ? core.meta.now() : value);
  // A chown by anyone takes the bits away unless the same call sets the mode (chown(2)); directories keep theirs.
  const chown = (uid !== undefined || gid !== undefined) && mode === undefined;
  return {
    ino,
    ...(mode === undefined ? {} : { mode: mode & 0o7777 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(size === undefined ? {} : { size }),
    ...(atime === undefined ? {} : { atime: time(atime) }),
    ...(mtime === undefined ? {} : { mtime: time(mtime) }),
    ...(ctime === undefined ? {} : { ctime }),
    clearSuidSgid: chown || clearSuidSgid === true,
  };
}
