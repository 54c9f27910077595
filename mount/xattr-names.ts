import { FsError } from '../src/base/errno.ts';

const SYSTEM = Buffer.from('system.');

/**
 * `system.` is where the kernel keeps what is no plain attribute, such as POSIX access lists. Storing one without enforcing it
 * would make cp(1) believe that permissions were copied. Throws FsError EOPNOTSUPP (acl(5): the file system has none).
 */
export function refuseSystemXattr(name: Uint8Array): void {
  if (SYSTEM.equals(name.subarray(0, SYSTEM.length))) throw new FsError('EOPNOTSUPP');
}
