import { compareBytes, equalBytes } from '../../base/bytes.ts';
import { XATTR_LIST_BYTES_MAX } from '../../base/limits.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail } from './context.ts';
import { xattrKey, xattrNamesKey } from './keys.ts';
import {
  ACL_ACCESS_NAME,
  ACL_DEFAULT_NAME,
  type Acl,
  type AclKind,
  formatAcl,
  hasAcl,
  parseAcl,
} from './posix-acl.ts';
import { XATTR, XATTR_NAMES } from './rows.ts';

/** Rows of extended attributes. What the inode row says of them is returned, for the caller to write. */

/** Where a name is or would be among the names of an inode. */
interface Found {
  readonly names: readonly Uint8Array[];
  readonly at: number;
  readonly exists: boolean;
}

export function findXattr(ctx: CommitContext, ino: number, name: Uint8Array): Found {
  const key = xattrNamesKey(ino);
  if (ctx.isNew(ino)) ctx.rows.knownAbsent(key);
  const names = ctx.rows.read(key, XATTR_NAMES)?.names ?? [];
  const later = names.findIndex((other) => compareBytes(other, name) >= 0);
  const at = later < 0 ? names.length : later;
  return { names, at, exists: at < names.length && equalBytes(names[at]!, name) };
}

/** Throws ENOSPC when the names of all attributes would be too long. */
export function putXattr(
  ctx: CommitContext,
  ino: number,
  name: Uint8Array,
  value: Uint8Array,
): Pick<Attr, 'hasXattrs'> {
  const { names, at, exists } = findXattr(ctx, ino, name);
  if (!exists) {
    const next = names.slice();
    next.splice(at, 0, name.slice());
    if (listBytes(next) > XATTR_LIST_BYTES_MAX) fail('ENOSPC', 'too many extended attributes');
    ctx.rows.write(xattrNamesKey(ino), XATTR_NAMES, { names: next, version: ctx.index });
  }
  ctx.rows.write(xattrKey(ino, name), XATTR, { value: value.slice(), version: ctx.index });
  return { hasXattrs: true };
}

/** The attribute exists. */
export function dropXattr(ctx: CommitContext, ino: number, name: Uint8Array): Pick<Attr, 'hasXattrs'> {
  const left = findXattr(ctx, ino, name).names.filter((other) => !equalBytes(other, name));
  const key = xattrNamesKey(ino);
  if (left.length > 0) ctx.rows.write(key, XATTR_NAMES, { names: left, version: ctx.index });
  else ctx.rows.del(key);
  ctx.rows.del(xattrKey(ino, name));
  return { hasXattrs: left.length > 0 };
}

function listBytes(names: readonly Uint8Array[]): number {
  let sum = 0;
  for (const name of names) sum += name.length + 1;
  return sum;
}

// Access lists ------------------------------------------------------------------------------------------------

const ACL_NAMES = { access: ACL_ACCESS_NAME, default: ACL_DEFAULT_NAME } as const;

type AclChanges = Pick<Attr, 'hasXattrs'> & Partial<Pick<Attr, 'hasAccessAcl' | 'hasDefaultAcl'>>;

/** The inode has such a list, or none: the attributes tell, so that without one no row is looked for. */
export function readAcl(ctx: CommitContext, attr: Attr, kind: AclKind): Acl | undefined {
  if (!hasAcl(attr, kind)) return undefined;
  const row = ctx.rows.read(xattrKey(attr.ino, ACL_NAMES[kind]), XATTR);
  return row === undefined ? undefined : parseAcl(row.value);
}

/** Stores a list, or with `undefined` removes what there is. */
export function writeAcl(ctx: CommitContext, attr: Attr, kind: AclKind, acl: Acl | undefined): AclChanges {
  const name = ACL_NAMES[kind];
  const flag = kind === 'access' ? { hasAccessAcl: acl !== undefined } : { hasDefaultAcl: acl !== undefined };
  if (acl !== undefined) return { ...flag, ...putXattr(ctx, attr.ino, name, formatAcl(acl)) };
  if (!hasAcl(attr, kind)) return { hasXattrs: attr.hasXattrs };
  return { ...flag, ...dropXattr(ctx, attr.ino, name) };
}
