import { assert } from '../../base/assert.ts';
import { type ErrnoName, FsError } from '../../base/errno.ts';
import { OPS_PER_COMMIT_MAX } from '../../base/limits.ts';
import type { Attr, Dentry, Time, TouchedInode } from '../../gen/ringfs/v1/namespace.ts';
import { chunkKey, dentryKey, inodeKey, orphanKey } from './keys.ts';
import { ATTR, DENTRY, ORPHAN } from './rows.ts';
import type { LockGrant, Rows } from './types.ts';

export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_IXGRP = 0o0010;

export const isDirectory = (attr: { readonly mode: number }): boolean => (attr.mode & S_IFMT) === S_IFDIR;
export const isRegular = (attr: { readonly mode: number }): boolean => (attr.mode & S_IFMT) === S_IFREG;

/** Ends the commit; nothing of it is kept. */
export function fail(code: ErrnoName, detail?: string): never {
  throw new FsError(code, detail);
}

/** Inode numbers from here on stand for inodes made earlier in the same commit. */
const RELATIVE_INO_MAX = Number.MAX_SAFE_INTEGER;

/** One commit while it is being applied: its place in the log, its time, and what it has touched. */
export class CommitContext {
  readonly rows: Rows;
  readonly index: number;
  readonly time: Time;
  /** Whose commit this is. */
  readonly session: number;
  /** Waiters for locks that got them. */
  readonly grants: LockGrant[] = [];
  /** By op: the inode that it made, or 0. */
  readonly made: number[] = [];
  /** Inodes changed, in the order of their first change, with their versions before it. */
  readonly #touched = new Map<number, { readonly version: number; readonly dataVersion: number }>();

  constructor(rows: Rows, index: number, time: Time, session: number) {
    this.session = session;
    this.rows = rows;
    this.index = index;
    this.time = time;
  }

  /** The inode number that a field of an op means. */
  resolve(ino: number): number {
    const k = RELATIVE_INO_MAX - ino;
    if (k >= OPS_PER_COMMIT_MAX) return ino;
    const made = this.made[k] ?? 0;
    return made === 0 ? fail('EINVAL', 'the op referred to made no inode') : made;
  }

  inode(ino: number): Attr {
    return this.rows.read(inodeKey(ino), ATTR) ?? fail('ESTALE', 'no such inode');
  }

  directory(ino: number): Attr {
    const attr = this.inode(ino);
    return isDirectory(attr) ? attr : fail('ENOTDIR');
  }

  /** The inode was made by this commit: the store has none of its rows. */
  isNew(ino: number): boolean {
    return this.#touched.get(ino)?.version === 0;
  }

  dentry(parent: number, name: Uint8Array): Dentry | undefined {
    const key = dentryKey(parent, name);
    // Otherwise each entry of a directory made here would cost a round trip and another application of the commit.
    if (this.isNew(parent)) this.rows.knownAbsent(key);
    return this.rows.read(key, DENTRY);
  }

  putDentry(parent: number, name: Uint8Array, attr: Attr): void {
    this.rows.write(dentryKey(parent, name), DENTRY, {
      ino: attr.ino,
      type: attr.mode & S_IFMT,
      version: this.index,
    });
  }

  deleteDentry(parent: number, name: Uint8Array): void {
    this.rows.del(dentryKey(parent, name));
  }

  /** Writes an inode that was not there before. */
  insert(attr: Attr): void {
    assert(!this.#touched.has(attr.ino), 'a new inode was not touched before');
    this.#touched.set(attr.ino, { version: 0, dataVersion: 0 });
    // Inode numbers are never given out again, so there is no row of it to look for.
    this.rows.knownAbsent(inodeKey(attr.ino));
    this.rows.write(inodeKey(attr.ino), ATTR, attr);
    if (isRegular(attr)) this.rows.knownAbsent(chunkKey(attr.ino, 0));
  }

  /** Writes `changes` to an inode, under this commit's version. `data`: its content or its entries change too. */
  update(attr: Attr, changes: Partial<Attr>, data: boolean): Attr {
    if (!this.#touched.has(attr.ino)) {
      this.#touched.set(attr.ino, { version: attr.version, dataVersion: attr.dataVersion });
    }
    const next: Attr = { ...attr, ...changes, version: this.index };
    if (data) next.dataVersion = this.index;
    this.rows.write(inodeKey(attr.ino), ATTR, next);
    return next;
  }

  /** A directory's entries change: `entries` more of them, `links` more subdirectories. */
  updateDirectory(ino: number, entries: number, links: number): Attr {
    const attr = this.inode(ino);
    const nlink = attr.nlink + links;
    const size = attr.size + entries;
    assert(nlink >= 2 && size >= 0, 'a directory in the tree has two links and no negative size');
    return this.update(attr, { nlink, size, ...this.mtime(), ...this.ctime() }, true);
  }

  /** Takes away one name of an inode; without names it becomes an orphan. A directory is empty by now. */
  dropLink(attr: Attr): Attr {
    assert(attr.nlink > 0, 'an inode with a name has a link');
    const nlink = isDirectory(attr) ? 0 : attr.nlink - 1;
    if (nlink === 0) {
      this.putOrphan(attr, false);
    }
    return this.update(attr, { nlink, ...this.ctime() }, false);
  }

  /** The inode has no name: it stays until nobody has it open. */
  putOrphan(attr: Attr, linkable: boolean): void {
    // It had a name until now, or is new.
    this.rows.knownAbsent(orphanKey(attr.ino));
    this.rows.write(orphanKey(attr.ino), ORPHAN, {
      type: attr.mode & S_IFMT,
      version: this.index,
      linkable,
    });
  }

  /** An inode made without a name gets its first one. False: it is none of those. */
  adoptOrphan(attr: Attr): boolean {
    if (this.rows.read(orphanKey(attr.ino), ORPHAN)?.linkable !== true) return false;
    this.rows.del(orphanKey(attr.ino));
    return true;
  }

  mtime(time: Time = this.time): Pick<Attr, 'mtimeSec' | 'mtimeNsec'> {
    return { mtimeSec: time.sec, mtimeNsec: time.nsec };
  }

  ctime(time: Time = this.time): Pick<Attr, 'ctimeSec' | 'ctimeNsec'> {
    return { ctimeSec: time.sec, ctimeNsec: time.nsec };
  }

  /** Every inode changed, as it is now. */
  touched(): TouchedInode[] {
    const out: TouchedInode[] = [];
    for (const [ino, previous] of this.#touched) {
      const attr = this.inode(ino);
      out.push({
        attr,
        previousVersion: previous.version,
        previousDataVersion: previous.dataVersion,
        removed: attr.nlink === 0,
      });
    }
    return out;
  }
}
