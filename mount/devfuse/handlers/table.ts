import { OPCODE } from '../protocol/constants.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import { getattr, setattr, statfs } from './attributes.ts';
import { fsyncdir, opendir, readdir, readdirplus, releasedir } from './directories.ts';
import { link, lookup, mkdir, mknod, symlink } from './entry.ts';
import { create, flush, fsync, open, read, release, tmpfile, write } from './files.ts';
import type { Handler } from './handler.ts';
import { getlk, setlk, setlkw } from './locks.ts';
import { readlink, rename, rename2, rmdir, unlink } from './namespace.ts';
import { copyFileRange, copyFileRange64, fallocate, lseek } from './ranges.ts';
import { getxattr, listxattr, removexattr, setxattr } from './xattrs.ts';

const destroy: Handler = async () => ({ message: encodeEmpty() });

/**
 * What answers each request. What is not here is answered ENOSYS, after which the kernel does it itself (ACCESS under
 * default_permissions, POLL) or tells the application EOPNOTSUPP, and mostly does not ask again. INIT, FORGET,
 * BATCH_FORGET and INTERRUPT belong to the dispatcher: they are about the connection, or have no reply.
 */
export const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [OPCODE.LOOKUP, lookup],
  [OPCODE.GETATTR, getattr],
  [OPCODE.SETATTR, setattr],
  [OPCODE.READLINK, readlink],
  [OPCODE.SYMLINK, symlink],
  [OPCODE.MKNOD, mknod],
  [OPCODE.MKDIR, mkdir],
  [OPCODE.UNLINK, unlink],
  [OPCODE.RMDIR, rmdir],
  [OPCODE.RENAME, rename],
  [OPCODE.RENAME2, rename2],
  [OPCODE.LINK, link],
  [OPCODE.OPEN, open],
  [OPCODE.CREATE, create],
  [OPCODE.READ, read],
  [OPCODE.WRITE, write],
  [OPCODE.STATFS, statfs],
  [OPCODE.RELEASE, release],
  [OPCODE.FSYNC, fsync],
  [OPCODE.FLUSH, flush],
  [OPCODE.OPENDIR, opendir],
  [OPCODE.READDIR, readdir],
  [OPCODE.READDIRPLUS, readdirplus],
  [OPCODE.RELEASEDIR, releasedir],
  [OPCODE.FSYNCDIR, fsyncdir],
  [OPCODE.GETXATTR, getxattr],
  [OPCODE.SETXATTR, setxattr],
  [OPCODE.LISTXATTR, listxattr],
  [OPCODE.REMOVEXATTR, removexattr],
  [OPCODE.LSEEK, lseek],
  [OPCODE.FALLOCATE, fallocate],
  [OPCODE.COPY_FILE_RANGE, copyFileRange],
  [OPCODE.COPY_FILE_RANGE_64, copyFileRange64],
  [OPCODE.TMPFILE, tmpfile],
  [OPCODE.GETLK, getlk],
  [OPCODE.SETLK, setlk],
  [OPCODE.SETLKW, setlkw],
  [OPCODE.DESTROY, destroy],
]);
