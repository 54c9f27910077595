import { FsError } from '../../base/errno.ts';
import { FILE_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { Caller } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';
import type { OpenFile } from '../handle-table.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import * as op from './op.ts';

export const FALLOC_KEEP_SIZE = 0x01;
export const FALLOC_PUNCH_HOLE = 0x02;
export const FALLOC_ZERO_RANGE = 0x10;
/** What fallocate(2) allows of these; everything else is EOPNOTSUPP. */
const MODES: ReadonlySet<number> = new Set([
  0,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
  FALLOC_ZERO_RANGE,
  FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE,
]);

export interface FallocateRange {
  readonly mode: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * fallocate(2), in one commit after what was written before. Zeros are a hole. Allocating reserves nothing, since blocks are
 * shared and placed when they are written: it is refused (ENOSPC) when it cannot fit, and grows the file.
 */
export async function fallocate(
  core: VfsCore,
  writeBack: WriteBack,
  caller: Caller,
  file: OpenFile,
  { mode, offset, length }: FallocateRange,
  signal?: AbortSignal,
): Promise<void> {
  if (!file.writable) throw new FsError('EBADF', 'not open for writing');
  if (offset < 0 || length <= 0) throw new FsError('EINVAL', 'range');
  if (!MODES.has(mode)) throw new FsError('EOPNOTSUPP', `fallocate mode ${mode}`);
  if (offset + length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  const { state } = file;
  const punch = (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0;
  if (!punch) {
    const { availableBytes } = await core.meta.statfs(signal);
    // What the file has may lie in the range, so only what goes beyond it certainly needs room.
    if (length - state.view().allocatedBytes > availableBytes) throw new FsError('ENOSPC');
  }
  const keepSize = (mode & FALLOC_KEEP_SIZE) !== 0;
  const clearSuidSgid = caller.uid !== 0;
  const change = op.fallocate({ ino: state.ino, offset, length, punch, keepSize, clearSuidSgid });
  await interruptible(writeBack.flush(state, { extra: [change], reshapes: true }), signal);
}
