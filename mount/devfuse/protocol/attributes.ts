import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { SetAttrRequest, StatFs } from '../../../src/ports/file-system.ts';
import { FATTR, GETATTR_FH } from './constants.ts';
import { MessageWriter, type RequestReader } from './wire.ts';

/** GETATTR, SETATTR, STATFS, and the attributes that many replies carry. */

/** For how long the kernel may use what a reply says. */
export interface Validity {
  readonly sec: number;
  readonly nsec: number;
}

export function validityOf(milliseconds: number): Validity {
  return { sec: Math.floor(milliseconds / 1000), nsec: Math.round((milliseconds % 1000) * 1_000_000) };
}

export interface Validities {
  readonly entry: Validity;
  readonly attr: Validity;
}

const STAT_BLOCK_BYTES = 512;
/** st_blksize: the buffer size that stdio and others take for a file. */
const PREFERRED_IO_BYTES = 64 * 1024;

/** sizeof(struct fuse_attr). */
const ATTR_BYTES = 88;
/** sizeof(struct fuse_entry_out). */
export const ENTRY_BYTES = 40 + ATTR_BYTES;
/** sizeof(struct fuse_attr_out). */
const ATTR_OUT_BYTES = 16 + ATTR_BYTES;

/** struct fuse_attr. */
function putAttr(out: MessageWriter, attr: Attr): void {
  out
    .u64(attr.ino)
    .u64(attr.size)
    .u64(Math.ceil(attr.allocatedBytes / STAT_BLOCK_BYTES))
    .i64(attr.atimeSec)
    .i64(attr.mtimeSec)
    .i64(attr.ctimeSec)
    .u32(attr.atimeNsec)
    .u32(attr.mtimeNsec)
    .u32(attr.ctimeNsec)
    .u32(attr.mode)
    .u32(attr.nlink)
    .u32(attr.uid)
    .u32(attr.gid)
    .u32(attr.rdev)
    .u32(PREFERRED_IO_BYTES)
    .u32(0); // flags
}

/** struct fuse_entry_out. Inode numbers are never reused, so every generation is 0. */
export function putEntry(out: MessageWriter, attr: Attr, validities: Validities): void {
  out
    .u64(attr.ino)
    .u64(0)
    .u64(validities.entry.sec)
    .u64(validities.attr.sec)
    .u32(validities.entry.nsec)
    .u32(validities.attr.nsec);
  putAttr(out, attr);
}

/** The reply to GETATTR and SETATTR: struct fuse_attr_out. */
export function encodeAttr(attr: Attr, validities: Validities): Buffer {
  const out = MessageWriter.reply(ATTR_OUT_BYTES);
  out.u64(validities.attr.sec).u32(validities.attr.nsec).u32(0);
  putAttr(out, attr);
  return out.bytes;
}

/** struct fuse_getattr_in: the handle through which fstat(2) was called, if it was. */
export function decodeGetattr(body: RequestReader): number | undefined {
  const flags = body.u32();
  body.skip(4);
  return (flags & GETATTR_FH) !== 0 ? body.id() : undefined;
}

export interface SetattrMessage {
  readonly handle: number | undefined;
  readonly request: SetAttrRequest;
}

/** struct fuse_setattr_in. */
export function decodeSetattr(body: RequestReader): SetattrMessage {
  const valid = body.u32();
  body.skip(4);
  const has = (bit: number): boolean => (valid & bit) !== 0;
  let handle: number | undefined;
  if (has(FATTR.FH)) handle = body.id();
  else body.skip(8);
  const size = body.u64();
  body.skip(8); // lock_owner
  const [atimeSec, mtimeSec, ctimeSec] = [body.i64(), body.i64(), body.i64()];
  const [atimeNsec, mtimeNsec, ctimeNsec] = [body.u32(), body.u32(), body.u32()];
  const mode = body.u32();
  body.skip(4);
  const [uid, gid] = [body.u32(), body.u32()];
  const request: SetAttrRequest = {
    ...(has(FATTR.MODE) && { mode: mode & 0o7777 }),
    ...(has(FATTR.UID) && { uid }),
    ...(has(FATTR.GID) && { gid }),
    ...(has(FATTR.SIZE) && { size }),
    ...(has(FATTR.ATIME) && {
      atime: has(FATTR.ATIME_NOW) ? ('now' as const) : { sec: atimeSec, nsec: atimeNsec },
    }),
    ...(has(FATTR.MTIME) && {
      mtime: has(FATTR.MTIME_NOW) ? ('now' as const) : { sec: mtimeSec, nsec: mtimeNsec },
    }),
    ...(has(FATTR.CTIME) && { ctime: { sec: ctimeSec, nsec: ctimeNsec } }),
    ...(has(FATTR.KILL_SUIDGID) && { clearSuidSgid: true }),
  };
  return { handle, request };
}

/** struct fuse_statfs_out. */
export function encodeStatfs(statfs: StatFs): Buffer {
  const available = Math.floor(statfs.availableBytes / statfs.blockSizeBytes);
  return MessageWriter.reply(80)
    .u64(Math.floor(statfs.totalBytes / statfs.blockSizeBytes))
    .u64(available)
    .u64(available)
    .u64(statfs.files)
    .u64(statfs.filesFree)
    .u32(statfs.blockSizeBytes)
    .u32(statfs.nameBytesMax)
    .u32(statfs.blockSizeBytes)
    .zeros(28).bytes;
}
