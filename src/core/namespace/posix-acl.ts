import { equalBytes } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import { ACL_ENTRIES_MAX } from '../../base/limits.ts';

/**
 * POSIX access control lists (acl(5), POSIX.1e draft 17) in the form in which Linux passes them through extended attributes,
 * and what creation and chmod(2) do to them. The rules are those of the kernel's own file systems.
 */

export const ACL_TAG = {
  USER_OBJ: 0x01,
  USER: 0x02,
  GROUP_OBJ: 0x04,
  GROUP: 0x08,
  MASK: 0x10,
  OTHER: 0x20,
} as const;

export interface AclEntry {
  readonly tag: number;
  /** Three bits: 4 read, 2 write, 1 execute or search. */
  readonly perm: number;
  /** The user or group of a named entry; of others ACL_UNDEFINED_ID. */
  readonly id: number;
}

/** In ascending order of the tags; never empty. */
export type Acl = readonly AclEntry[];

export type AclKind = 'access' | 'default';

export const ACL_UNDEFINED_ID = 0xffff_ffff;

const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const VERSION = 2;
const PERMISSIONS = 0o7;
const ALL_PERMISSIONS = 0o777;

export const ACL_ACCESS_NAME: Uint8Array = ascii('system.posix_acl_access');
export const ACL_DEFAULT_NAME: Uint8Array = ascii('system.posix_acl_default');

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Which access list an extended attribute is; undefined for any other attribute. */
export function aclKindOf(name: Uint8Array): AclKind | undefined {
  if (equalBytes(name, ACL_ACCESS_NAME)) return 'access';
  return equalBytes(name, ACL_DEFAULT_NAME) ? 'default' : undefined;
}

/** Whether an inode has such a list, as its attributes tell. */
export function hasAcl(
  attr: { readonly hasAccessAcl: boolean; readonly hasDefaultAcl: boolean },
  kind: AclKind,
): boolean {
  return kind === 'access' ? attr.hasAccessAcl : attr.hasDefaultAcl;
}

/**
 * The list in an attribute's value; undefined for one without entries, which means to remove it. Throws EOPNOTSUPP for
 * another version of the format, E2BIG for too many entries, EINVAL for what is no valid list.
 */
export function parseAcl(value: Uint8Array): Acl | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  if (value.length < HEADER_BYTES) throw new FsError('EINVAL', 'access list without a header');
  if (view.getUint32(0, true) !== VERSION) throw new FsError('EOPNOTSUPP', 'version of an access list');
  const count = (value.length - HEADER_BYTES) / ENTRY_BYTES;
  if (!Number.isInteger(count)) throw new FsError('EINVAL', 'access list with half an entry');
  if (count > ACL_ENTRIES_MAX) throw new FsError('E2BIG', 'access list');
  const acl: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const id = isNamed(tag) ? view.getUint32(at + 4, true) : ACL_UNDEFINED_ID;
    acl.push({ tag, perm: view.getUint16(at + 2, true), id });
  }
  if (acl.length === 0) return undefined;
  checkAcl(acl);
  return acl;
}

export function formatAcl(acl: Acl): Uint8Array {
  const value = new Uint8Array(HEADER_BYTES + acl.length * ENTRY_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, perm, id }, i) => {
    const at = HEADER_BYTES + i * ENTRY_BYTES;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, perm, true);
    view.setUint32(at + 4, id, true);
  });
  return value;
}

function isNamed(tag: number): boolean {
  return tag === ACL_TAG.USER || tag === ACL_TAG.GROUP;
}

/** The tags are bits in the order of the entries: owner, named users, group, named groups, mask, others. */
const TAGS: ReadonlySet<number> = new Set(Object.values(ACL_TAG));

/** acl(5), "valid ACL": the three base entries once each, a mask exactly once when there are named entries, in order. */
function checkAcl(acl: Acl): void {
  const counts = new Map<number, number>();
  let last = 0;
  for (const { tag, perm, id } of acl) {
    if (!TAGS.has(tag) || tag < last) throw new FsError('EINVAL', 'tags of an access list');
    if ((perm & ~PERMISSIONS) !== 0) throw new FsError('EINVAL', 'permissions of an access list');
    if (isNamed(tag) && id === ACL_UNDEFINED_ID) throw new FsError('EINVAL', 'nobody in an access list');
    counts.set(tag, (counts.get(tag) ?? 0) + 1);
    last = tag;
  }
  const count = (tag: number): number => counts.get(tag) ?? 0;
  const named = count(ACL_TAG.USER) + count(ACL_TAG.GROUP) > 0;
  const based = [ACL_TAG.USER_OBJ, ACL_TAG.GROUP_OBJ, ACL_TAG.OTHER].every((tag) => count(tag) === 1);
  const masked = count(ACL_TAG.MASK) === 1 || (!named && count(ACL_TAG.MASK) === 0);
  if (!based || !masked) throw new FsError('EINVAL', 'entries of an access list');
}

/** The entry that the group bits of the mode stand for: the mask, or without one the owning group. */
function groupClassTag(acl: Acl): number {
  return acl.some(({ tag }) => tag === ACL_TAG.MASK) ? ACL_TAG.MASK : ACL_TAG.GROUP_OBJ;
}

/** By how far an entry's permissions are shifted in the mode; undefined for an entry that the mode does not show. */
function shiftIn(acl: Acl): (entry: AclEntry) => number | undefined {
  const groupTag = groupClassTag(acl);
  return ({ tag }) => {
    if (tag === ACL_TAG.USER_OBJ) return 6;
    if (tag === groupTag) return 3;
    return tag === ACL_TAG.OTHER ? 0 : undefined;
  };
}

/** The permission bits that a mode shows for this list (acl(5), "correspondence between ACL entries and file permission bits"). */
export function modeOf(acl: Acl): number {
  const shift = shiftIn(acl);
  let mode = 0;
  for (const entry of acl) {
    const by = shift(entry);
    if (by !== undefined) mode |= entry.perm << by;
  }
  return mode;
}

/** The mode says all that the list says, so that the list need not be kept. */
export function isMinimal(acl: Acl): boolean {
  return acl.length === 3;
}

/** The list after chmod(2) to `mode`. */
export function chmodAcl(acl: Acl, mode: number): Acl {
  const shift = shiftIn(acl);
  return acl.map((entry) => {
    const by = shift(entry);
    return by === undefined ? entry : { ...entry, perm: (mode >> by) & PERMISSIONS };
  });
}

/**
 * What an inode made with `mode` in a directory with the default list `acl` gets (acl(5), "object creation and default ACLs"):
 * each class has at most what both say. The umask has no part in it. No `access` when the mode says it all.
 */
export function inheritAcl(
  acl: Acl,
  mode: number,
): { readonly mode: number; readonly access: Acl | undefined } {
  const shift = shiftIn(acl);
  const access = acl.map((entry) => {
    const by = shift(entry);
    return by === undefined ? entry : { ...entry, perm: entry.perm & (mode >> by) };
  });
  return {
    mode: (mode & ~ALL_PERMISSIONS) | modeOf(access),
    access: isMinimal(access) ? undefined : access,
  };
}
