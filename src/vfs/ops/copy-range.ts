import { asFsError, FsError } from '../../base/errno.ts';
import type { Caller } from '../../ports/file-system.ts';
import type { OpenFile } from '../handle-table.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import * as op from './op.ts';

/** One side of a copy. */
export interface CopyEnd {
  readonly file: OpenFile;
  readonly offset: number;
}

/**
 * copy_file_range(2) by reference: what was written to either file before is flushed, then one commit gives the destination
 * the source's extents. Returns the bytes copied, which may be fewer than asked for and are 0 only at the source's end.
 * EOPNOTSUPP where the destination is too fragmented for it: the kernel then copies the bytes.
 */
export async function copyRange(
  writeBack: WriteBack,
  caller: Caller,
  from: CopyEnd,
  to: CopyEnd,
  length: number,
  signal?: AbortSignal,
): Promise<number> {
  const [source, target] = [from.file.state, to.file.state];
  if (!to.file.writable || to.file.append) throw new FsError('EBADF', 'the destination takes no copies');
  if (from.offset < 0 || to.offset < 0 || length < 0) throw new FsError('EINVAL', 'range');
  if (length === 0) return 0;
  if (source !== target) await interruptible(writeBack.flush(source), signal);
  const change = op.copyRange({
    ino: target.ino,
    offset: to.offset,
    source: source.ino,
    sourceOffset: from.offset,
    length,
    clearSuidSgid: caller.uid !== 0,
  });
  try {
    const flushed = writeBack.flush(target, { extra: [change], reshapes: true });
    const ok = await interruptible(flushed, signal);
    return ok?.results.at(-1)?.length ?? 0;
  } catch (thrown) {
    const error = asFsError(thrown);
    throw error.code === 'E2BIG' ? new FsError('EOPNOTSUPP', error.message, { cause: error }) : error;
  }
}
