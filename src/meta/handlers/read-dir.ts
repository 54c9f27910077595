import { READDIR_ENTRIES_MAX } from '../../base/limits.ts';
import { readdir } from '../../core/namespace/read.ts';
import type { ReadDirReply, ReadDirRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { leasedRead } from '../leased-read.ts';

/** Leases the directory, and with attributes every inode listed. Throws FsError ESTALE, ENOTDIR. */
export function readDir(ctx: ReadContext, request: ReadDirRequest): Promise<ReadDirReply> {
  const { ino, after, withAttrs } = request;
  const limit = request.limit === 0 ? READDIR_ENTRIES_MAX : Math.min(request.limit, READDIR_ENTRIES_MAX);
  return leasedRead(ctx, [ino], async () => {
    const { entries, end, attr } = await readdir(ctx.replica.state, ino, after, limit, withAttrs);
    const inos = withAttrs ? [ino, ...entries.map((entry) => entry.ino)] : [ino];
    return { reply: { entries, end, attr, leased: false }, inos };
  });
}
