import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from '../../base/limits.ts';
import { aclKindOf, hasAcl } from '../../core/namespace/posix-acl.ts';
import type { SetXattrOptions } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';
import * as op from './op.ts';

const NAMESPACES = ['user.', 'trusted.', 'security.'].map((prefix) => new TextEncoder().encode(prefix));

/** Throws EOPNOTSUPP, ERANGE or EINVAL as xattr(7) and setxattr(2) have it. */
function checkName(name: Uint8Array): void {
  if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) throw new FsError('ERANGE', 'attribute name');
  // The only ones in `system.` that mean something; front ends that cannot enforce them refuse them.
  if (aclKindOf(name) !== undefined) return;
  const known = NAMESPACES.find((prefix) => prefix.every((byte, i) => name[i] === byte));
  if (!known) throw new FsError('EOPNOTSUPP', 'attribute namespace');
  if (name.length === known.length) throw new FsError('EINVAL', 'attribute name');
}

export async function getxattr(
  core: VfsCore,
  ino: Ino,
  name: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  checkName(name);
  // The kernel asks for security.capability before writes: answered from the attributes in nearly all cases.
  const attr = await core.meta.getattr(ino, signal);
  if (!attr.hasXattrs) throw new FsError('ENODATA');
  // And for the access list of everything on a path that is not the caller's own.
  const acl = aclKindOf(name);
  if (acl !== undefined && !hasAcl(attr, acl)) throw new FsError('ENODATA');
  return await core.meta.getxattr(ino, name, signal);
}

export async function listxattr(
  core: VfsCore,
  ino: Ino,
  signal?: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const attr = await core.meta.getattr(ino, signal);
  return attr.hasXattrs ? await core.meta.listxattr(ino, signal) : [];
}

export async function setxattr(
  core: VfsCore,
  ino: Ino,
  name: Uint8Array,
  value: Uint8Array,
  { flags, clearSgid = false }: SetXattrOptions,
  signal?: AbortSignal,
): Promise<void> {
  checkName(name);
  if (value.length > XATTR_VALUE_BYTES_MAX) throw new FsError('E2BIG', 'attribute value');
  await core.commit([op.setXattr({ ino, name, value, flags, clearSgid })], { signal });
}

export async function removexattr(
  core: VfsCore,
  ino: Ino,
  name: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  checkName(name);
  const acl = aclKindOf(name);
  // setfacl(1) removes what need not be there, of every file of a tree.
  if (acl !== undefined && !hasAcl(await core.meta.getattr(ino, signal), acl)) return;
  await core.commit([op.removeXattr(ino, name)], { signal });
}
