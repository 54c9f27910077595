import { FsError } from '../../base/errno.ts';
import { FILE_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { WriteOptions } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';
import type { OpenFile } from '../handle-table.ts';
import { withoutSuidSgid } from '../mode.ts';
import type { WriteBack } from '../write-back.ts';

/**
 * write(2): into the file's dirty data. Reports an earlier failure to flush, once, without taking the bytes; but pages that
 * the kernel writes back are taken, since it would drop them, and the failure is left to be reported to a caller.
 */
export async function write(
  core: VfsCore,
  writeBack: WriteBack,
  file: OpenFile,
  offset: number,
  data: Uint8Array,
  signal?: AbortSignal,
  options: WriteOptions = {},
): Promise<number> {
  const { state } = file;
  if (data.length === 0) return 0;
  if (!Number.isSafeInteger(offset) || offset < 0) throw new FsError('EINVAL', 'offset');
  const fromPageCache = options.fromPageCache === true;
  if (file.locksLost) throw new FsError('EIO', 'locks of this descriptor were lost');
  const append = file.append && !fromPageCache;
  if (!fromPageCache) reportError(file);
  if ((append ? state.size() : offset) + data.length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  await writeBack.reserve(state, data.length, signal);
  const mtime = core.meta.now();
  const clear = file.unprivileged && withoutSuidSgid(state.attr.mode) !== state.attr.mode;
  if (append) {
    const end = state.size();
    state.append(data, mtime, clear);
    // The kernel put the bytes into its pages where it believed the end to be.
    if (end !== offset) core.kernel.dropPages(state.ino);
  } else {
    core.budget.release(data.length - state.write(offset, data, mtime, clear));
  }
  writeBack.wrote(state);
  return data.length;
}

/** Throws the inode's last error if this handle has not reported it yet. */
export function reportError(file: OpenFile): void {
  if (file.errorSeen === file.state.errorSequence) return;
  file.errorSeen = file.state.errorSequence;
  const error = file.state.lastError;
  throw new FsError(error?.code ?? 'EIO', 'earlier write-back failed', { cause: error });
}
