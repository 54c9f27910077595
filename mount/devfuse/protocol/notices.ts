import type { CacheInvalidation } from '../../../src/ports/file-system.ts';
import { NOTIFY_INVAL_INODE, OUT_HEADER_BYTES } from './constants.ts';
import { MessageWriter } from './wire.ts';

/** struct fuse_out_header with the notice's code for the error, and struct fuse_notify_inval_inode_out. */
export function encodeInvalInode(invalidation: CacheInvalidation): Buffer {
  const length = OUT_HEADER_BYTES + 24;
  return new MessageWriter(Buffer.allocUnsafe(length))
    .u32(length)
    .i32(NOTIFY_INVAL_INODE)
    .u64(0) // a notice answers no request
    .u64(invalidation.ino)
    .i64(invalidation.data ? 0 : -1) // a negative offset: attributes only
    .i64(0).bytes; // from there to the end
}
