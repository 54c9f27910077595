import { MalformedRequest, MessageWriter, type RequestReader } from './wire.ts';

/** LSEEK, FALLOCATE and COPY_FILE_RANGE. */

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export interface LseekMessage {
  readonly handle: number;
  readonly offset: number;
  readonly whence: 'data' | 'hole';
}

/** struct fuse_lseek_in. The kernel sends nothing but SEEK_DATA and SEEK_HOLE. */
export function decodeLseek(body: RequestReader): LseekMessage {
  const [handle, offset, whence] = [body.id(), body.u64(), body.u32()];
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new MalformedRequest(`lseek of kind ${whence}`);
  return { handle, offset, whence: whence === SEEK_DATA ? 'data' : 'hole' };
}

/** struct fuse_lseek_out. */
export function encodeLseek(offset: number): Buffer {
  return MessageWriter.reply(8).u64(offset).bytes;
}

export interface FallocateMessage {
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
  readonly mode: number;
}

/** struct fuse_fallocate_in. */
export function decodeFallocate(body: RequestReader): FallocateMessage {
  return { handle: body.id(), offset: body.u64(), length: body.u64(), mode: body.u32() };
}

export interface CopyFileRangeMessage {
  readonly handle: number;
  readonly offset: number;
  readonly targetNodeId: number;
  readonly targetHandle: number;
  readonly targetOffset: number;
  readonly length: number;
  readonly flags: number;
}

/** struct fuse_copy_file_range_in; the inode in the header is the source's. */
export function decodeCopyFileRange(body: RequestReader): CopyFileRangeMessage {
  return {
    handle: body.id(),
    offset: body.u64(),
    targetNodeId: body.id(),
    targetHandle: body.id(),
    targetOffset: body.u64(),
    length: body.u64(),
    flags: body.u64(),
  };
}

/** struct fuse_copy_file_range_out, the reply to COPY_FILE_RANGE_64. That to COPY_FILE_RANGE is WRITE's. */
export function encodeCopied64(copied: number): Buffer {
  return MessageWriter.reply(8).u64(copied).bytes;
}
