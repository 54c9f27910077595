import { FsError } from '../../../src/base/errno.ts';
import { NAME_BYTES_MAX } from '../../../src/base/limits.ts';
import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import { ENTRY_BYTES, putEntry, type Validities } from './attributes.ts';
import { MalformedRequest, MessageWriter, type RequestReader } from './wire.ts';

/** LOOKUP, FORGET and everything that makes, renames or removes a directory entry, except CREATE. */

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * One name in a directory. The kernel cuts names at 1,024 bytes, file systems at 255 (ENAMETOOLONG). `.` and `..` are
 * resolved by the kernel and never sent.
 */
export function decodeName(body: RequestReader): Buffer {
  const name = body.cstring();
  if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
  if (name.includes(SLASH)) throw new MalformedRequest('name with a slash');
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    throw new MalformedRequest('name that is . or ..');
  }
  return name;
}

/** The reply to LOOKUP, MKNOD, MKDIR, SYMLINK and LINK: struct fuse_entry_out. */
export function encodeEntry(attr: Attr, validities: Validities): Buffer {
  const out = MessageWriter.reply(ENTRY_BYTES);
  putEntry(out, attr, validities);
  return out.bytes;
}

/** struct fuse_forget_in. */
export function decodeForget(body: RequestReader): number {
  return body.id();
}

/** struct fuse_batch_forget_in and what follows it. */
export function decodeBatchForget(body: RequestReader): { nodeId: number; count: number }[] {
  const count = body.u32();
  body.skip(4);
  if (count * 16 > body.remaining) throw new MalformedRequest(`${count} forgets do not fit the request`);
  const out: { nodeId: number; count: number }[] = [];
  for (let i = 0; i < count; i++) out.push({ nodeId: body.id(), count: body.id() });
  return out;
}

export interface MakeMessage {
  readonly mode: number;
  /** Of the caller. Without DONT_MASK it is in `mode` already, and takes nothing more from it. */
  readonly umask: number;
  readonly name: Buffer;
}

/** struct fuse_mknod_in and the name. */
export function decodeMknod(body: RequestReader): MakeMessage & { readonly rdev: number } {
  const [mode, rdev, umask] = [body.u32(), body.u32(), body.u32()];
  body.skip(4);
  return { mode, rdev, umask, name: decodeName(body) };
}

/** struct fuse_mkdir_in and the name. */
export function decodeMkdir(body: RequestReader): MakeMessage {
  const [mode, umask] = [body.u32(), body.u32()];
  return { mode: mode & 0o7777, umask, name: decodeName(body) };
}

export function decodeSymlink(body: RequestReader): { name: Buffer; target: Buffer } {
  const name = decodeName(body);
  return { name, target: body.cstring() };
}

/** struct fuse_link_in and the name. */
export function decodeLink(body: RequestReader): { oldNodeId: number; name: Buffer } {
  return { oldNodeId: body.id(), name: decodeName(body) };
}

export interface RenameMessage {
  readonly newParent: number;
  readonly flags: number;
  readonly name: Buffer;
  readonly newName: Buffer;
}

/** struct fuse_rename_in and two names. */
export function decodeRename(body: RequestReader): RenameMessage {
  return { newParent: body.id(), flags: 0, name: decodeName(body), newName: decodeName(body) };
}

/** struct fuse_rename2_in and two names. */
export function decodeRename2(body: RequestReader): RenameMessage {
  const [newParent, flags] = [body.id(), body.u32()];
  body.skip(4);
  return { newParent, flags, name: decodeName(body), newName: decodeName(body) };
}
