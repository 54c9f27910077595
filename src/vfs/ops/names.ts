import { FsError } from '../../base/errno.ts';
import { NAME_BYTES_MAX } from '../../base/limits.ts';

/** A single path component (path_resolution(7)), checked before a round trip is spent on it. */
export function checkName(name: Uint8Array): void {
  if (name.length === 0) throw new FsError('ENOENT', 'empty name');
  if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
  if (name.includes(0) || name.includes(0x2f)) throw new FsError('EINVAL', 'slash or zero byte in name');
}
