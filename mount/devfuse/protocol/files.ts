import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import { ENTRY_BYTES, putEntry, type Validities } from './attributes.ts';
import { FSYNC_DATA_ONLY, OPEN_KILL_SUIDGID, WRITE_CACHE, WRITE_KILL_SUIDGID } from './constants.ts';
import { decodeName } from './entries.ts';
import { MessageWriter, type RequestReader } from './wire.ts';

/** CREATE and everything on an open file. */

export interface OpenMessage {
  readonly flags: number;
  readonly killSuidSgid: boolean;
}

/** struct fuse_open_in; also of OPENDIR. */
export function decodeOpen(body: RequestReader): OpenMessage {
  return { flags: body.u32(), killSuidSgid: (body.u32() & OPEN_KILL_SUIDGID) !== 0 };
}

export interface CreateMessage {
  readonly flags: number;
  readonly mode: number;
  readonly umask: number;
  readonly name: Buffer;
}

/** struct fuse_create_in and the name. */
export function decodeCreate(body: RequestReader): CreateMessage {
  const [flags, mode, umask] = [body.u32(), body.u32(), body.u32()];
  body.skip(4); // open_flags, which say nothing about a new file
  return { flags, mode: mode & 0o7777, umask, name: decodeName(body) };
}

/** TMPFILE: struct fuse_create_in, and a name that means nothing. Answered as CREATE is. */
export function decodeTmpfile(body: RequestReader): Omit<CreateMessage, 'name'> {
  const [flags, mode, umask] = [body.u32(), body.u32(), body.u32()];
  body.skip(4);
  return { flags, mode: mode & 0o7777, umask };
}

/** The reply to OPEN and OPENDIR: struct fuse_open_out. */
export function encodeOpen(handle: number, openFlags: number): Buffer {
  return MessageWriter.reply(16).u64(handle).u32(openFlags).u32(0).bytes;
}

/** struct fuse_entry_out and struct fuse_open_out. */
export function encodeCreate(attr: Attr, validities: Validities, handle: number, openFlags: number): Buffer {
  const out = MessageWriter.reply(ENTRY_BYTES + 16);
  putEntry(out, attr, validities);
  return out.u64(handle).u32(openFlags).u32(0).bytes;
}

export interface ReadMessage {
  readonly handle: number;
  readonly offset: number;
  readonly size: number;
}

/** struct fuse_read_in; also of READDIR and READDIRPLUS, where the offset is a cookie. */
export function decodeRead(body: RequestReader): ReadMessage {
  return { handle: body.id(), offset: body.u64(), size: body.u32() };
}

export interface WriteMessage {
  readonly handle: number;
  readonly offset: number;
  /** Of open(2), for what is not from the page cache. */
  readonly openFlags: number;
  readonly killSuidSgid: boolean;
  /** Pages of a mapping that the kernel writes back, with any handle of the file that it has. */
  readonly fromPageCache: boolean;
  /** Part of the request's own buffer. */
  readonly data: Buffer;
}

/** struct fuse_write_in and the data. */
export function decodeWrite(body: RequestReader): WriteMessage {
  const [handle, offset, size, flags] = [body.id(), body.u64(), body.u32(), body.u32()];
  body.skip(8); // lock_owner
  const openFlags = body.u32();
  body.skip(4);
  return {
    handle,
    offset,
    openFlags,
    killSuidSgid: (flags & WRITE_KILL_SUIDGID) !== 0,
    fromPageCache: (flags & WRITE_CACHE) !== 0,
    data: body.bytes(size),
  };
}

/** struct fuse_write_out. */
export function encodeWrite(written: number): Buffer {
  return MessageWriter.reply(8).u32(written).u32(0).bytes;
}

/** struct fuse_fsync_in; also of FSYNCDIR. */
export function decodeFsync(body: RequestReader): { handle: number; dataOnly: boolean } {
  return { handle: body.id(), dataOnly: (body.u32() & FSYNC_DATA_ONLY) !== 0 };
}

/** struct fuse_flush_in. */
export function decodeFlush(body: RequestReader): { handle: number; lockOwner: bigint } {
  const handle = body.id();
  body.skip(8); // unused
  return { handle, lockOwner: body.big() };
}

/**
 * The handle, with which struct fuse_release_in begins. Its lock owner is not needed: what was locked through a handle that is
 * gone is given back in any case.
 */
export function decodeHandle(body: RequestReader): number {
  return body.id();
}
