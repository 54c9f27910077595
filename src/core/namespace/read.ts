import { defined } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import type { DirEntry } from '../../gen/ringfs/v1/meta.ts';
import type { Attr, BlockNodeInfo, Chunk, SetLock } from '../../gen/ringfs/v1/namespace.ts';
import type {
  BlockNodeRow,
  ClusterRow,
  CountersRow,
  LockRow,
  OrphanRow,
  SessionRow,
} from '../../gen/ringfs/v1/rows.ts';
import { isDirectory } from './context.ts';
import {
  blockKey,
  CLUSTER_KEY,
  COUNTERS_KEY,
  chunkKey,
  chunkRange,
  dentryKey,
  dentryRange,
  inodeKey,
  lockKey,
  nameOfKey,
  numberOfKey,
  TABLE,
  tableRange,
  xattrKey,
  xattrNamesKey,
} from './keys.ts';
import { lockOf } from './locks/inode-locks.ts';
import { conflicts, type Lock } from './locks/ranges.ts';
import { lockWanted } from './ops/lock.ts';
import {
  ATTR,
  BLOCK,
  BLOCK_NODE,
  CHUNK,
  CLUSTER,
  COUNTERS,
  DENTRY,
  LOCK,
  ORPHAN,
  SESSION,
  XATTR,
  XATTR_NAMES,
} from './rows.ts';
import type { RowSource } from './types.ts';

/**
 * Reads of the applied state, for the meta server and for tests. An answer of several rows is from one moment: the attributes
 * that date it are read first and again at the end, and everything again when they changed in between. When that goes on, the
 * answer carries the older date, so that whoever caches it under that date drops it with the next recall.
 */

const TRIES_MAX = 4;

/** Throws ESTALE when there is no such inode. */
export async function getattr(source: RowSource, ino: number): Promise<Attr> {
  const bytes = await source.get(inodeKey(ino));
  if (bytes === undefined) throw new FsError('ESTALE', 'no such inode');
  return ATTR.decode(bytes);
}

export interface LookupAnswer {
  /** Undefined: no such entry. */
  readonly attr: Attr | undefined;
  readonly parentAttr: Attr;
}

/** Throws ESTALE, ENOTDIR. */
export async function lookup(source: RowSource, parent: number, name: Uint8Array): Promise<LookupAnswer> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    // The directory first: an entry that is newer than its date does no harm, an older one would.
    const parentAttr = await getattr(source, parent);
    if (!isDirectory(parentAttr)) throw new FsError('ENOTDIR');
    const dentry = await source.get(dentryKey(parent, name));
    if (dentry === undefined) return { attr: undefined, parentAttr };
    const inode = await source.get(inodeKey(DENTRY.decode(dentry).ino));
    const attr = inode === undefined ? undefined : ATTR.decode(inode);
    // Without a name it was unlinked since the entry was read.
    if (attr !== undefined && attr.nlink > 0) return { attr, parentAttr };
  }
  throw new FsError('EAGAIN', 'the entry keeps changing');
}

export interface ReadDirAnswer {
  readonly entries: DirEntry[];
  /** No entry follows. */
  readonly end: boolean;
  /** Of the directory. */
  readonly attr: Attr;
}

/** Entries with names greater than `after`, in byte order, without `.` and `..`. Throws ESTALE, ENOTDIR. */
export async function readdir(
  source: RowSource,
  ino: number,
  after: Uint8Array,
  limit: number,
  withAttrs: boolean,
): Promise<ReadDirAnswer> {
  let attr = await getattr(source, ino);
  if (!isDirectory(attr)) throw new FsError('ENOTDIR');
  for (let tries = 1; ; tries++) {
    const entries = await listEntries(source, ino, after, limit + 1);
    const end = entries.length <= limit;
    if (!end) entries.pop();
    if (withAttrs) await addAttrs(source, entries);
    const now = await getattr(source, ino);
    if (now.dataVersion === attr.dataVersion || tries === TRIES_MAX) return { entries, end, attr };
    attr = now;
  }
}

async function listEntries(
  source: RowSource,
  ino: number,
  after: Uint8Array,
  limit: number,
): Promise<DirEntry[]> {
  const entries: DirEntry[] = [];
  for await (const [key, value] of source.scan({ ...dentryRange(ino, after), limit })) {
    const { ino: target, type } = DENTRY.decode(value);
    entries.push({ name: nameOfKey(key), ino: target, type, attr: undefined });
  }
  return entries;
}

async function addAttrs(source: RowSource, entries: readonly DirEntry[]): Promise<void> {
  const rows = await source.getMany(entries.map((entry) => inodeKey(entry.ino)));
  entries.forEach((entry, i) => {
    const bytes = rows[i];
    // An entry removed meanwhile may have lost its inode; the directory's version has changed then too.
    if (bytes !== undefined) entry.attr = ATTR.decode(bytes);
  });
}

/** The chunk rows that exist in [first, first + count), and the attributes of the same moment. Throws ESTALE. */
export async function getChunks(
  source: RowSource,
  ino: number,
  first: number,
  count: number,
): Promise<{ chunks: Chunk[]; attr: Attr }> {
  const keys = Array.from({ length: count }, (_, i) => chunkKey(ino, first + i));
  let attr = await getattr(source, ino);
  for (let tries = 1; ; tries++) {
    const rows = await source.getMany(keys);
    const now = await getattr(source, ino);
    if (now.dataVersion === attr.dataVersion || tries === TRIES_MAX) {
      const chunks = rows.filter((row) => row !== undefined).map((row) => CHUNK.decode(row));
      return { chunks, attr: tries === TRIES_MAX ? attr : now };
    }
    attr = now;
  }
}

/**
 * The first `limit` chunk rows from chunk `first` on that exist, and attributes that are no newer than they: whoever
 * caches under their date drops it with the next recall. Throws ESTALE.
 */
export async function nextChunks(
  source: RowSource,
  ino: number,
  first: number,
  limit: number,
): Promise<{ chunks: Chunk[]; attr: Attr }> {
  const attr = await getattr(source, ino);
  const chunks: Chunk[] = [];
  for await (const [, value] of source.scan({ ...chunkRange(ino, first), limit })) {
    chunks.push(CHUNK.decode(value));
  }
  return { chunks, attr };
}

/** Throws ENODATA, ESTALE. */
export async function getxattr(source: RowSource, ino: number, name: Uint8Array): Promise<Uint8Array> {
  const [inode, row] = await source.getMany([inodeKey(ino), xattrKey(ino, name)]);
  if (inode === undefined) throw new FsError('ESTALE', 'no such inode');
  if (row === undefined) throw new FsError('ENODATA');
  return XATTR.decode(row).value;
}

/** In byte order. Throws ESTALE. */
export async function listxattr(source: RowSource, ino: number): Promise<Uint8Array[]> {
  const [inode, row] = await source.getMany([inodeKey(ino), xattrNamesKey(ino)]);
  if (inode === undefined) throw new FsError('ESTALE', 'no such inode');
  return row === undefined ? [] : XATTR_NAMES.decode(row).names;
}

/** Inodes and allocated bytes of the whole tree, for statfs. */
export async function readCounters(source: RowSource): Promise<CountersRow> {
  const bytes = await source.get(COUNTERS_KEY);
  return bytes === undefined
    ? { nextIno: 0, inodes: 0, allocatedBytes: 0, version: 0 }
    : COUNTERS.decode(bytes);
}

/** Undefined: the cluster has not been initialised. */
export async function readCluster(source: RowSource): Promise<ClusterRow | undefined> {
  const bytes = await source.get(CLUSTER_KEY);
  return bytes === undefined ? undefined : CLUSTER.decode(bytes);
}

/** All live sessions, oldest first. */
export async function listSessions(source: RowSource): Promise<(SessionRow & { session: number })[]> {
  const out: (SessionRow & { session: number })[] = [];
  for await (const [key, value] of source.scan(tableRange(TABLE.session))) {
    out.push({ session: numberOfKey(key), ...SESSION.decode(value) });
  }
  return out;
}

/** Unlinked inodes that are not reaped yet, with numbers greater than `after`, in order. */
export async function listOrphans(
  source: RowSource,
  after: number,
  limit: number,
): Promise<(OrphanRow & { ino: number })[]> {
  const out: (OrphanRow & { ino: number })[] = [];
  const { lt } = tableRange(TABLE.orphan);
  for await (const [key, value] of source.scan({ gte: orphanAfter(after), lt, limit })) {
    out.push({ ino: numberOfKey(key), ...ORPHAN.decode(value) });
  }
  return out;
}

function orphanAfter(ino: number): Uint8Array {
  const key = new Uint8Array(10);
  key.set(inodeKey(ino));
  key[0] = TABLE.orphan;
  return key;
}

export type RegistryRow = BlockNodeRow & { readonly node: BlockNodeInfo };

/** The rows of all block nodes, removed ones included. */
export async function listBlockNodes(source: RowSource): Promise<RegistryRow[]> {
  const out: RegistryRow[] = [];
  for await (const [, value] of source.scan(tableRange(TABLE.blockNode))) {
    const row = BLOCK_NODE.decode(value);
    out.push({ ...row, node: defined(row.node, 'the node of a registry row') });
  }
  return out;
}

/** For each id: a file refers to the block, so it is stored and stays. */
export async function knownBlocks(source: RowSource, ids: readonly Uint8Array[]): Promise<boolean[]> {
  const rows = await source.getMany(ids.map(blockKey));
  return rows.map((row) => row !== undefined && BLOCK.decode(row).condemnedAt === 0);
}

/** A lock that keeps the session from getting `wanted` (F_GETLK), the one that begins first. Throws EINVAL. */
export async function conflictingLock(
  source: RowSource,
  session: number,
  wanted: SetLock,
): Promise<Lock | undefined> {
  const lock = lockWanted(wanted, session);
  const held = (await readLocks(source, wanted.ino))?.held.map(lockOf) ?? [];
  const blockers = held.filter((other) => conflicts(other, lock));
  return blockers.reduce<Lock | undefined>(
    (a, b) => (a === undefined || b.first < a.first ? b : a),
    undefined,
  );
}

/** Whether the session still waits for a lock under `ticket`. */
export async function lockWaits(
  source: RowSource,
  session: number,
  ino: number,
  ticket: number,
): Promise<boolean> {
  const waiting = (await readLocks(source, ino))?.waiting ?? [];
  return waiting.some((lock) => lock.session === session && lock.ticket === ticket);
}

async function readLocks(source: RowSource, ino: number): Promise<LockRow | undefined> {
  const bytes = await source.get(lockKey(ino));
  return bytes === undefined ? undefined : LOCK.decode(bytes);
}
