import { FsError } from '../src/base/errno.ts';
import { aclKindOf } from '../src/core/namespace/posix-acl.ts';

const SYSTEM = Buffer.from('system.');
const TRUSTED = Buffer.from('trusted.');

function startsWith(name: Uint8Array, prefix: Buffer): boolean {
  return prefix.equals(name.subarray(0, prefix.length));
}

/**
 * `system.` is where Linux keeps what is no plain attribute: POSIX access lists, if the kernel enforces them on this mount,
 * and nothing else. Storing a list without enforcing it would make cp(1) believe that permissions were copied. Throws FsError
 * EOPNOTSUPP (acl(5): the file system has none).
 */
export function checkSystemXattr(name: Uint8Array, accessLists: boolean): void {
  if (!startsWith(name, SYSTEM)) return;
  if (!accessLists || aclKindOf(name) === undefined) throw new FsError('EOPNOTSUPP');
}

/**
 * What listxattr(2) shows: no attributes that getxattr(2) would refuse (cp(1) and rsync(1) take that for an error), and
 * `trusted.` to the privileged only (xattr(7)).
 */
export function listedXattrs(
  names: readonly Uint8Array[],
  { accessLists, privileged }: { readonly accessLists: boolean; readonly privileged: boolean },
): readonly Uint8Array[] {
  return names.filter((name) => {
    if (startsWith(name, TRUSTED)) return privileged;
    return accessLists || !startsWith(name, SYSTEM);
  });
}
