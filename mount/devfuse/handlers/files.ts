import { FsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import { FILE_SIZE_BYTES_MAX } from '../../../src/base/limits.ts';
import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { OpenResult } from '../../../src/ports/file-system.ts';
import { MAX_WRITE_BYTES } from '../limits.ts';
import { FOPEN } from '../protocol/constants.ts';
import {
  decodeCreate,
  decodeFlush,
  decodeFsync,
  decodeHandle,
  decodeOpen,
  decodeRead,
  decodeTmpfile,
  decodeWrite,
  encodeCreate,
  encodeOpen,
  encodeWrite,
} from '../protocol/files.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import { MalformedRequest } from '../protocol/wire.ts';
import type { Handler, HandlerContext, Reply } from './handler.ts';
import { clearCapability, clearSuidSgid } from './suid-sgid.ts';

const O_ACCMODE = 0o3;
const O_RDONLY = 0;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_APPEND = 0o2000;

/**
 * What is open for reading only has nothing to flush, and a close costs one request less; unless it may have to unlock.
 *
 * Through the page cache the kernel ends a WRITE request after a page that it has not read before (fuse_fill_write_pages), so one
 * write(2) arrives in two pieces; appends of another mount could come between. Without the cache it is one request.
 */
function openFlags(opened: OpenResult, flags: number, { appendsDirectly }: HandlerContext): number {
  const direct = opened.directIo || (appendsDirectly && (flags & O_APPEND) !== 0);
  return (
    (direct ? FOPEN.DIRECT_IO : 0) |
    (opened.keepCache ? FOPEN.KEEP_CACHE : 0) |
    ((flags & O_ACCMODE) === O_RDONLY && !opened.lockable ? FOPEN.NOFLUSH : 0)
  );
}

/** The opener is gone before it learned of its handle; nobody else will release it. */
function abandon({ fileSystem }: HandlerContext, ino: Ino, opened: OpenResult): void {
  fileSystem.release(ino, opened.handle).catch(() => {
    // There is no one to tell, and the file system has logged it.
  });
}

export const open: Handler = async (request, context) => {
  const { caller, ino, body, signal } = request;
  const { flags, killSuidSgid } = decodeOpen(body);
  const opened = await context.fileSystem.open(caller, ino, flags & ~(O_CREAT | O_EXCL), signal);
  try {
    if (killSuidSgid) await clearSuidSgid(request, context, opened.handle);
  } catch (error) {
    abandon(context, ino, opened);
    throw error;
  }
  return {
    message: encodeOpen(opened.handle, openFlags(opened, flags, context)),
    undelivered: () => abandon(context, ino, opened),
  };
};

export const create: Handler = async ({ caller, ino, body, signal }, context) => {
  const { flags, mode, umask, name } = decodeCreate(body);
  let created: OpenResult & { attr: Attr };
  try {
    created = await context.fileSystem.create({ ...caller, umask }, ino, name, mode, flags, signal);
  } catch (error) {
    // Another mount made the file after the kernel's lookup, and the caller did not ask for exclusive creation. On
    // ESTALE the kernel looks it up and opens it, with the permission checks that we cannot make (do_filp_open).
    const raced = error instanceof FsError && error.code === 'EEXIST' && (flags & O_EXCL) === 0;
    throw raced ? new FsError('ESTALE', undefined, { cause: error }) : error;
  }
  return createdReply(context, created, flags);
};

export const tmpfile: Handler = async ({ caller, ino, body, signal }, context) => {
  const { flags, mode, umask } = decodeTmpfile(body);
  const made = await context.fileSystem.tmpfile({ ...caller, umask }, ino, mode, flags, signal);
  return createdReply(context, made, flags);
};

function createdReply(context: HandlerContext, created: OpenResult & { attr: Attr }, flags: number): Reply {
  const ino = created.attr.ino as Ino;
  return {
    message: encodeCreate(
      created.attr,
      context.validities,
      created.handle,
      openFlags(created, flags, context),
    ),
    undelivered: () => {
      abandon(context, ino, created);
      context.fileSystem.forget(ino, 1);
    },
  };
}

export const read: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { handle, offset, size } = decodeRead(body);
  // No kernel asks for more than it was told that it may write at once; the zeros of a hole would fill the memory.
  if (size > MAX_WRITE_BYTES) throw new MalformedRequest(`a read of ${size} bytes`);
  if (offset >= FILE_SIZE_BYTES_MAX) return { message: encodeEmpty() };
  return { message: encodeEmpty(), data: await fileSystem.read(ino, handle, offset, size, signal) };
};

export const write: Handler = async (request, context) => {
  const { ino, body, signal } = request;
  const { handle, offset, data, openFlags, killSuidSgid, fromPageCache } = decodeWrite(body);
  if (offset + data.length > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  if (killSuidSgid) await clearSuidSgid(request, context, handle);
  const appendsDirectly = context.appendsDirectly && (openFlags & O_APPEND) !== 0;
  if (appendsDirectly && !fromPageCache) await clearCapability(request, context);
  const written = await context.fileSystem.write(ino, handle, offset, data, signal, { fromPageCache });
  return { message: encodeWrite(written) };
};

export const flush: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { handle, lockOwner } = decodeFlush(body);
  await fileSystem.flush(ino, handle, signal, lockOwner);
  return { message: encodeEmpty() };
};

export const fsync: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { handle, dataOnly } = decodeFsync(body);
  await fileSystem.fsync(ino, handle, dataOnly, signal);
  return { message: encodeEmpty() };
};

export const release: Handler = async ({ ino, body }, { fileSystem }) => {
  await fileSystem.release(ino, decodeHandle(body));
  return { message: encodeEmpty() };
};
