import { FsError } from '../../../src/base/errno.ts';
import {
  XATTR_LIST_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  XATTR_VALUE_BYTES_MAX,
} from '../../../src/base/limits.ts';
import { SETXATTR_ACL_KILL_SGID } from './constants.ts';
import { MessageWriter, type RequestReader } from './wire.ts';

/** GETXATTR, SETXATTR, LISTXATTR, REMOVEXATTR (xattr(7)). */

export function decodeXattrName(body: RequestReader): Buffer {
  const name = body.cstring();
  if (name.length > XATTR_NAME_BYTES_MAX) throw new FsError('ERANGE');
  return name;
}

/** struct fuse_getxattr_in and the name. Size 0 asks for the size of the value. */
export function decodeGetxattr(body: RequestReader): { size: number; name: Buffer } {
  const size = body.u32();
  body.skip(4);
  return { size, name: decodeXattrName(body) };
}

/** struct fuse_getxattr_in. Size 0 asks for the size of the list. */
export function decodeListxattr(body: RequestReader): number {
  return body.u32();
}

export interface SetxattrMessage {
  readonly flags: number;
  readonly clearSgid: boolean;
  readonly name: Buffer;
  readonly value: Buffer;
}

/** struct fuse_setxattr_in, the name and the value. `extended`: with the fields that SETXATTR_EXT adds. */
export function decodeSetxattr(body: RequestReader, extended: boolean): SetxattrMessage {
  const [size, flags] = [body.u32(), body.u32()];
  const more = extended ? body.u32() : 0;
  if (extended) body.skip(4);
  const name = decodeXattrName(body);
  if (size > XATTR_VALUE_BYTES_MAX) throw new FsError('E2BIG');
  return { flags, clearSgid: (more & SETXATTR_ACL_KILL_SGID) !== 0, name, value: body.bytes(size) };
}

/** A value or list, or with `size` 0 only its length: struct fuse_getxattr_out. Throws FsError ERANGE when it is longer. */
export function encodeXattr(value: Uint8Array, size: number): Buffer {
  if (size === 0) return MessageWriter.reply(8).u32(value.length).u32(0).bytes;
  if (value.length > size) throw new FsError('ERANGE');
  return MessageWriter.reply(value.length).raw(value).bytes;
}

/** Each name followed by a zero. Throws FsError E2BIG when the kernel could not take the list (listxattr(2)). */
export function joinXattrNames(names: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const name of names) length += name.length + 1;
  if (length > XATTR_LIST_BYTES_MAX) throw new FsError('E2BIG');
  const out = new MessageWriter(Buffer.allocUnsafe(length));
  for (const name of names) out.raw(name).zeros(1);
  return out.bytes;
}
