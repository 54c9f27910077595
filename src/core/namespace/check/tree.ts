import { compareBytes, equalBytes } from '../../../base/bytes.ts';
import { ROOT_INO } from '../../../base/ids.ts';
import type { Attr } from '../../../gen/ringfs/v1/namespace.ts';
import type { XattrNamesRow } from '../../../gen/ringfs/v1/rows.ts';
import { isDirectory, isRegular, S_IFDIR, S_IFLNK, S_IFMT } from '../context.ts';
import { readU32, readU64, TABLE } from '../keys.ts';
import { ACL_ACCESS_NAME, ACL_DEFAULT_NAME } from '../posix-acl.ts';
import { ATTR, DENTRY, ORPHAN, XATTR, XATTR_NAMES } from '../rows.ts';
import type { RowSource } from '../types.ts';
import { type ContentSum, contentByInode } from './content.ts';
import type { Finding, OnFinding } from './finding.ts';
import {
  type Scratch,
  type ScratchWriter,
  scratchKey,
  TAG,
  tagNumberRange,
  tagRange,
  u32s,
} from './scratch.ts';
import { fold, join, type Keyed, rowsOf, taggedRows } from './streams.ts';

/** Inodes, entries, links, orphans, extended attributes, and that the directories are one tree. */

const INO_BYTES = 8;

export interface TreeSums {
  inodes: number;
  directories: number;
  entries: number;
  orphans: number;
  allocatedBytes: number;
  inoMax: number;
}

interface Listing {
  entries: number;
  subdirectories: number;
}

interface Links {
  count: number;
  /** The first. */
  parent: number;
  name: Uint8Array;
  /** S_IFMT bits as the entries have them; -1: they differ. */
  type: number;
}

const NO_LISTING: Listing = { entries: 0, subdirectories: 0 };
const NO_CONTENT: ContentSum = { allocatedBytes: 0, end: 0 };

/** Entries sorted by the inode that they name. The first thing to do. */
export async function sortLinks(
  source: RowSource,
  writer: ScratchWriter,
  onFinding: OnFinding,
): Promise<void> {
  for await (const { key, value } of rowsOf(source, TABLE.dentry, DENTRY, onFinding)) {
    const parent = readU64(key, 0);
    await writer.put(scratchKey(TAG.link, [value.ino, parent], key.subarray(INO_BYTES)), u32s(value.type));
    if (value.type === S_IFDIR) await writer.put(scratchKey(TAG.subdirectory, [parent, value.ino]), u32s());
  }
  await writer.flush();
}

/** Every inode against what other rows say of it. */
export async function checkInodes(
  source: RowSource,
  scratch: Scratch,
  writer: ScratchWriter,
  onFinding: OnFinding,
): Promise<TreeSums> {
  const sums: TreeSums = { inodes: 0, directories: 0, entries: 0, orphans: 0, allocatedBytes: 0, inoMax: 0 };
  const rows = join({
    attr: rowsOf(source, TABLE.inode, ATTR, onFinding),
    listing: listings(source, onFinding),
    links: linksByInode(scratch),
    orphan: rowsOf(source, TABLE.orphan, ORPHAN, onFinding),
    xattrNames: rowsOf(source, TABLE.xattrNames, XATTR_NAMES, onFinding),
    xattrs: xattrsByInode(source, onFinding),
    content: contentByInode(source, writer, onFinding),
  });
  for await (const { key, attr, ...rest } of rows) {
    const ino = readU64(key, 0);
    sums.entries += rest.listing?.entries ?? 0;
    sums.allocatedBytes += rest.content?.allocatedBytes ?? 0;
    if (attr === undefined) {
      reportHomeless(ino, rest, onFinding);
      continue;
    }
    sums.inodes++;
    sums.inoMax = ino;
    if (rest.orphan !== undefined) sums.orphans++;
    for (const { check, detail } of inodeProblems(ino, attr, rest)) onFinding({ check, ino, detail });
    if (!isDirectory(attr)) continue;
    sums.directories++;
    if (attr.nlink > 0) await writer.put(scratchKey(TAG.directory, [ino]), u32s());
  }
  await writer.flush();
  return sums;
}

async function* listings(source: RowSource, onFinding: OnFinding): AsyncIterableIterator<Keyed<Listing>> {
  yield* fold(
    rowsOf(source, TABLE.dentry, DENTRY, onFinding),
    INO_BYTES,
    () => ({ ...NO_LISTING }),
    (sum, { value }) => {
      sum.entries++;
      if (value.type === S_IFDIR) sum.subdirectories++;
    },
  );
}

async function* linksByInode(scratch: Scratch): AsyncIterableIterator<Keyed<Links>> {
  yield* fold(
    taggedRows(scratch, tagRange(TAG.link)),
    INO_BYTES,
    (): Links => ({ count: 0, parent: 0, name: new Uint8Array(0), type: 0 }),
    (sum, { key, value }) => {
      const type = readU32(value, 0);
      if (sum.count === 0) {
        sum.parent = readU64(key, INO_BYTES);
        sum.name = key.slice(2 * INO_BYTES);
        sum.type = type;
      } else if (sum.type !== type) sum.type = -1;
      sum.count++;
    },
  );
}

async function* xattrsByInode(
  source: RowSource,
  onFinding: OnFinding,
): AsyncIterableIterator<Keyed<Uint8Array[]>> {
  yield* fold(
    rowsOf(source, TABLE.xattr, XATTR, onFinding),
    INO_BYTES,
    (): Uint8Array[] => [],
    (names, { key }) => {
      names.push(key.slice(INO_BYTES));
    },
  );
}

interface AboutInode {
  readonly listing: Listing | undefined;
  readonly links: Links | undefined;
  readonly orphan: object | undefined;
  readonly xattrNames: XattrNamesRow | undefined;
  readonly xattrs: Uint8Array[] | undefined;
  readonly content: ContentSum | undefined;
}

/** Rows of an inode that has no row itself. */
function reportHomeless(ino: number, about: AboutInode, onFinding: OnFinding): void {
  const { links, listing, orphan, xattrNames, xattrs, content } = about;
  if (links !== undefined) {
    const more = links.count > 1 ? `, and ${links.count - 1} more` : '';
    onFinding({
      check: 'entry-without-inode',
      ino,
      parent: links.parent,
      name: printable(links.name),
      detail: `entry '${printable(links.name)}' of directory ${links.parent}${more}: there is no inode ${ino}`,
    });
  }
  const without = (check: string, what: string): void =>
    onFinding({ check, ino, detail: `there is no inode for ${what}` });
  if (listing !== undefined) without('entries-without-directory', `a directory's ${listing.entries} entries`);
  if (orphan !== undefined) without('orphan-without-inode', 'its orphan row');
  if (xattrNames !== undefined || xattrs !== undefined)
    without('xattrs-without-inode', 'its extended attributes');
  if (content !== undefined) without('content-without-inode', `${content.allocatedBytes} bytes of content`);
}

type Problem = Pick<Finding, 'check' | 'detail'>;

function inodeProblems(ino: number, attr: Attr, about: AboutInode): Problem[] {
  const problems: Problem[] = [];
  const expect = (check: string, what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted)
      problems.push({ check, detail: `${what} is ${String(found)}, not ${String(wanted)}` });
  };
  expect('inode-number', 'the number in the row', attr.ino, ino);
  const { links, content = NO_CONTENT } = about;
  if (links !== undefined && links.type !== (attr.mode & S_IFMT)) {
    const where = `'${printable(links.name)}' of directory ${links.parent}`;
    problems.push({
      check: 'entry-type',
      detail: `an entry (such as ${where}) gives the inode another type than mode ${attr.mode.toString(8)}`,
    });
  }
  expect('orphan-row', 'that there is an orphan row', about.orphan !== undefined, attr.nlink === 0);
  if (isDirectory(attr)) directoryProblems(ino, attr, about, expect);
  else {
    expect('link-count', 'nlink', attr.nlink, links?.count ?? 0);
    if (about.listing !== undefined)
      problems.push({ check: 'not-a-directory', detail: `${about.listing.entries} entries are in it` });
  }
  expect('allocated-bytes', 'allocated_bytes', attr.allocatedBytes, content.allocatedBytes);
  if (content.end > 0 && !isRegular(attr)) problems.push({ check: 'not-a-file', detail: 'it has content' });
  if (content.end > attr.size) {
    problems.push({
      check: 'content-beyond-end',
      detail: `content ends at ${content.end}, the file at ${attr.size}`,
    });
  }
  if ((attr.mode & S_IFMT) === S_IFLNK) expect('symlink-size', 'size', attr.size, attr.symlinkTarget.length);
  xattrProblems(attr, about, expect);
  return problems;
}

type Expect = (check: string, what: string, found: unknown, wanted: unknown) => void;

function directoryProblems(
  ino: number,
  attr: Attr,
  { listing = NO_LISTING, links }: AboutInode,
  expect: Expect,
): void {
  expect('directory-size', 'size', attr.size, listing.entries);
  if (attr.nlink === 0) {
    expect('link-count', 'the number of names of a removed directory', links?.count ?? 0, 0);
    return;
  }
  expect('link-count', 'nlink', attr.nlink, 2 + listing.subdirectories);
  expect('directory-names', 'the number of its names', links?.count ?? 0, ino === ROOT_INO ? 0 : 1);
  expect(
    'directory-parent',
    'parent',
    attr.parent,
    ino === ROOT_INO ? ROOT_INO : (links?.parent ?? attr.parent),
  );
}

function xattrProblems(attr: Attr, { xattrNames, xattrs = [] }: AboutInode, expect: Expect): void {
  const has = (name: Uint8Array): boolean => xattrs.some((other) => equalBytes(other, name));
  expect('xattr-flag', 'has_xattrs', attr.hasXattrs, xattrs.length > 0);
  expect('xattr-flag', 'has_access_acl', attr.hasAccessAcl, has(ACL_ACCESS_NAME));
  expect('xattr-flag', 'has_default_acl', attr.hasDefaultAcl, has(ACL_DEFAULT_NAME));
  const listed = xattrNames?.names ?? [];
  const same =
    listed.length === xattrs.length && listed.every((name, i) => compareBytes(name, xattrs[i]!) === 0);
  expect('xattr-names', 'that its list of extended attributes is right', same, true);
}

/** Whether every directory hangs from the root. Breadth first, depth by depth, through scratch. After checkInodes. */
export async function checkReachable(
  scratch: Scratch,
  writer: ScratchWriter,
  onFinding: OnFinding,
): Promise<void> {
  await writer.put(scratchKey(TAG.depth, [0, ROOT_INO]), u32s());
  await writer.put(scratchKey(TAG.reached, [ROOT_INO]), u32s());
  await writer.flush();
  for (let depth = 0, found = true; found; depth++) {
    found = false;
    for await (const { key } of taggedRows(scratch, tagNumberRange(TAG.depth, depth))) {
      const ino = readU64(key, INO_BYTES);
      for await (const child of taggedRows(scratch, tagNumberRange(TAG.subdirectory, ino))) {
        const number = readU64(child.key, INO_BYTES);
        // Already reached under another name: this is what ends a walk through a cycle.
        if ((await scratch.get(scratchKey(TAG.reached, [number]))) !== undefined) continue;
        await writer.put(scratchKey(TAG.reached, [number]), u32s());
        await writer.put(scratchKey(TAG.depth, [depth + 1, number]), u32s());
        found = true;
      }
    }
    await writer.flush();
  }
  const rows = join({
    directory: taggedRows(scratch, tagRange(TAG.directory)),
    reached: taggedRows(scratch, tagRange(TAG.reached)),
  });
  for await (const { key, directory, reached } of rows) {
    if (directory === undefined || reached !== undefined) continue;
    const detail =
      'the directory cannot be reached from the root: it or one above it is in a cycle or has lost its entry';
    onFinding({ check: 'unreachable', ino: readU64(key, 0), detail });
  }
}

function printable(name: Uint8Array): string {
  let out = '';
  for (const byte of name)
    out +=
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  return out;
}
