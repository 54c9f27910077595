import { FsError } from '../../base/errno.ts';
import { CHUNK_SIZE_BYTES, CHUNKS_PER_REPLY_MAX, FILE_SIZE_BYTES_MAX } from '../../base/limits.ts';
import { getChunks as readChunks } from '../../core/namespace/read.ts';
import type { GetChunksReply, GetChunksRequest } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';
import { leasedRead } from '../leased-read.ts';

const CHUNKS_PER_FILE_MAX = FILE_SIZE_BYTES_MAX / CHUNK_SIZE_BYTES;

/** Leases the inode. Throws FsError ESTALE, EINVAL for more chunks than an answer may have. */
export async function getChunks(ctx: SessionContext, request: GetChunksRequest): Promise<GetChunksReply> {
  const { ino, first, count } = request;
  if (count > CHUNKS_PER_REPLY_MAX || first + count > CHUNKS_PER_FILE_MAX) {
    throw new FsError(
      'EINVAL',
      `chunks ${first} to ${first + count}; at most ${CHUNKS_PER_REPLY_MAX} at a time`,
    );
  }
  return leasedRead(ctx, [ino], async () => {
    const { chunks, attr } = await readChunks(ctx.replica.state, ino, first, count);
    return { reply: { chunks, attr, leased: false }, inos: [ino] };
  });
}
