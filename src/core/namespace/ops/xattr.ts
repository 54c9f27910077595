import { compareBytes, equalBytes } from '../../../base/bytes.ts';
import { XATTR_LIST_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from '../../../base/limits.ts';
import type { OpResult, RemoveXattr, SetXattr } from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail } from '../context.ts';
import { xattrKey, xattrNamesKey } from '../keys.ts';
import { XATTR, XATTR_NAMES } from '../rows.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

/** setxattr(2): EEXIST, ENODATA, E2BIG for the value, ERANGE for the name, ENOSPC when the names of all would be too long. */
export function setXattr(ctx: CommitContext, op: SetXattr): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  if ((op.flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) fail('EINVAL', 'flags');
  checkXattrName(op.name);
  if (op.value.length > XATTR_VALUE_BYTES_MAX) fail('E2BIG');
  const names = namesOf(ctx, attr.ino);
  const at = names.findIndex((name) => compareBytes(name, op.name) >= 0);
  const exists = at >= 0 && equalBytes(names[at]!, op.name);
  if (exists && (op.flags & XATTR_CREATE) !== 0) fail('EEXIST');
  if (!exists && (op.flags & XATTR_REPLACE) !== 0) fail('ENODATA');
  if (!exists) {
    const next = names.slice();
    next.splice(at < 0 ? names.length : at, 0, op.name.slice());
    if (listBytes(next) > XATTR_LIST_BYTES_MAX) fail('ENOSPC', 'too many extended attributes');
    ctx.rows.write(xattrNamesKey(attr.ino), XATTR_NAMES, { names: next, version: ctx.index });
  }
  ctx.rows.write(xattrKey(attr.ino, op.name), XATTR, { value: op.value.slice(), version: ctx.index });
  ctx.update(attr, { hasXattrs: true, ...ctx.ctime() }, false);
  return { ino: attr.ino, offset: 0 };
}

/** removexattr(2). */
export function removeXattr(ctx: CommitContext, op: RemoveXattr): OpResult {
  const attr = ctx.inode(ctx.resolve(op.ino));
  checkXattrName(op.name);
  const names = namesOf(ctx, attr.ino);
  const left = names.filter((name) => !equalBytes(name, op.name));
  if (left.length === names.length) fail('ENODATA');
  const key = xattrNamesKey(attr.ino);
  if (left.length > 0) ctx.rows.write(key, XATTR_NAMES, { names: left, version: ctx.index });
  else ctx.rows.del(key);
  ctx.rows.del(xattrKey(attr.ino, op.name));
  ctx.update(attr, { hasXattrs: left.length > 0, ...ctx.ctime() }, false);
  return { ino: attr.ino, offset: 0 };
}

function namesOf(ctx: CommitContext, ino: number): readonly Uint8Array[] {
  if (ctx.isNew(ino)) ctx.rows.knownAbsent(xattrNamesKey(ino));
  return ctx.rows.read(xattrNamesKey(ino), XATTR_NAMES)?.names ?? [];
}

function checkXattrName(name: Uint8Array): void {
  if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) fail('ERANGE', 'name of an attribute');
  if (name.includes(0)) fail('EINVAL', 'zero byte in the name of an attribute');
}

function listBytes(names: readonly Uint8Array[]): number {
  let sum = 0;
  for (const name of names) sum += name.length + 1;
  return sum;
}
