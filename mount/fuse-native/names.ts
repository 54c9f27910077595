import { FsError } from '../../src/base/errno.ts';
import { NAME_BYTES_MAX } from '../../src/base/limits.ts';

/** The components of an absolute path within the mount, as bytes; none for the root. Throws FsError ENAMETOOLONG. */
export function componentsOf(path: string): Buffer[] {
  const names = path.split('/').filter((name) => name !== '');
  return names.map((name) => {
    const bytes = Buffer.from(name, 'utf8');
    if (bytes.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    return bytes;
  });
}

/** Each name followed by a zero, as listxattr(2) has it. */
export function joinNames(names: readonly Uint8Array[]): Uint8Array {
  const zero = Buffer.alloc(1);
  return Buffer.concat(names.flatMap((name) => [name, zero]));
}
