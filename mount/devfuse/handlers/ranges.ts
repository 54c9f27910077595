import { FsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import { FILE_SIZE_BYTES_MAX } from '../../../src/base/limits.ts';
import { encodeWrite } from '../protocol/files.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import {
  type CopyFileRangeMessage,
  decodeCopyFileRange,
  decodeFallocate,
  decodeLseek,
  encodeCopied64,
  encodeLseek,
} from '../protocol/ranges.ts';
import type { Handler, HandlerContext, Request } from './handler.ts';

/** The reply to COPY_FILE_RANGE counts in 32 bits; whole pages, since the caller goes on from there. */
const COPY_BYTES_MAX = 2 ** 32 - 4096;

export const lseek: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { handle, offset, whence } = decodeLseek(body);
  if (offset >= FILE_SIZE_BYTES_MAX) throw new FsError('ENXIO');
  return { message: encodeLseek(await fileSystem.seek(ino, handle, offset, whence, signal)) };
};

export const fallocate: Handler = async ({ caller, ino, body, signal }, { fileSystem }) => {
  const { handle, mode, offset, length } = decodeFallocate(body);
  if (offset + length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  await fileSystem.fallocate(caller, ino, handle, mode, offset, length, signal);
  return { message: encodeEmpty() };
};

async function copy(
  request: Request,
  context: HandlerContext,
  message: CopyFileRangeMessage,
): Promise<number> {
  const { caller, ino, signal } = request;
  const { handle, offset, targetNodeId, targetHandle, targetOffset, length, flags } = message;
  if (flags !== 0) throw new FsError('EINVAL', `copy_file_range flags ${flags}`);
  if (targetOffset >= FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  if (offset >= FILE_SIZE_BYTES_MAX) return 0;
  const from = { ino, handle, offset };
  const to = { ino: targetNodeId as Ino, handle: targetHandle, offset: targetOffset };
  return context.fileSystem.copyFileRange(caller, from, to, Math.min(length, FILE_SIZE_BYTES_MAX), signal);
}

export const copyFileRange: Handler = async (request, context) => {
  const message = decodeCopyFileRange(request.body);
  const length = Math.min(message.length, COPY_BYTES_MAX);
  return { message: encodeWrite(await copy(request, context, { ...message, length })) };
};

/** From Linux 6.18 on. */
export const copyFileRange64: Handler = async (request, context) => ({
  message: encodeCopied64(await copy(request, context, decodeCopyFileRange(request.body))),
});
