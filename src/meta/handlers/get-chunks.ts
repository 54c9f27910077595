import { FsError } from '../../base/errno.ts';
import { CHUNK_SIZE_BYTES, CHUNKS_PER_REPLY_MAX, FILE_SIZE_BYTES_MAX } from '../../base/limits.ts';
import { nextChunks, getChunks as readChunks } from '../../core/namespace/read.ts';
import type { GetChunksReply, GetChunksRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { leasedRead } from '../leased-read.ts';

const CHUNKS_PER_FILE_MAX = FILE_SIZE_BYTES_MAX / CHUNK_SIZE_BYTES;

/** Leases the inode. Throws FsError ESTALE, EINVAL for more chunks than an answer may have. */
export async function getChunks(ctx: ReadContext, request: GetChunksRequest): Promise<GetChunksReply> {
  const { ino, first, count, skipAbsent = false } = request;
  const end = skipAbsent ? first : first + count;
  if (count > CHUNKS_PER_REPLY_MAX || end > CHUNKS_PER_FILE_MAX) {
    throw new FsError('EINVAL', `${count} chunks from ${first}; at most ${CHUNKS_PER_REPLY_MAX} at a time`);
  }
  return leasedRead(ctx, [ino], async () => {
    const read = skipAbsent ? nextChunks : readChunks;
    const { chunks, attr } = await read(ctx.replica.state, ino, first, count);
    return { reply: { chunks, attr, leased: false }, inos: [ino] };
  });
}
